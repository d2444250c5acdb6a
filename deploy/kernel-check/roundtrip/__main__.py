"""kernel-check: finds 64-bit counters that are narrowed implicitly and used at 64 bits again."""

import argparse
import multiprocessing
import os
import sys
import traceback
from collections import Counter, defaultdict

from . import frontend, report, tree
from .flow import Function, Unit
from .join import Program

PASS, FOUND, INCONCLUSIVE, USAGE, INTERRUPTED = 0, 1, 2, 64, 130
_seen = set()


class Facts:
    """What crosses from a worker: a function's facts without its tree."""

    def __init__(self, function):
        self.identity, self.edges, self.compares = function.identity, function.edges, function.compares
        self.counters, self.info = function.counters, function.info


def analyse(job):
    """As read_facts; a file that the check itself fails on is one that was not read in full, and the others still count."""
    try:
        return read_facts(job)
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        trace = traceback.extract_tb(error.__traceback__)[-1]
        cause = f"kernel-check failed in {os.path.basename(trace.filename)}:{trace.lineno}: {error!r}; please report it"
        return [], set(), tree.absolute(job[0][0], job[0][1]), [cause], set()


def read_facts(job):
    """(facts, definitions, path, complaints, clang's warnings) of one file."""
    command, cache, warnings = job
    lines, complaints, warned = frontend.read(command, cache, _seen, warnings)
    main = tree.absolute(command[0], command[1])
    trees = [tree.parse(match, command[0]) for match in lines]
    unit = Unit(main, command[0])
    for root in trees:
        if root.kind == "FunctionDecl" and root.file == main:
            unit.own_functions.add(root.rest.split(" '")[0].split()[-1])
        elif root.kind == "VarDecl":
            unit.own_globals.add(root.rest.split(" '")[0].split()[-1])
    records = [r for r in trees if r.kind == "RecordDecl"]
    unit.own_records = {n for r in records if r.file == main for n in [" ".join(w for w in r.rest.split() if w != "definition")] if " " in n}
    for root in records:
        unit.add_record(root)
    facts, definitions = [], set()
    for root in trees:
        if root.kind == "FunctionDecl":
            function = Function(root, unit)
            facts.append(Facts(function))
            if " static" not in root.rest.rsplit("'", 1)[-1] and root.file == main:
                definitions.add((False, function.name, function.identity))
        elif root.kind == "VarDecl" and " static" not in root.rest.rsplit("'", 1)[-1] and " extern" not in root.rest.rsplit("'", 1)[-1]:
            name = root.rest.split(" '")[0].split()[-1]
            definitions.add((True, name, f"{main}: {name}"))
    return facts, definitions, main, complaints, {w for w in (frontend.warning(line, command[0]) for line in warned) if w}


def arguments():
    parser = argparse.ArgumentParser(prog="kernel-check", description=__doc__, epilog="Exit codes: 0 nothing found, 1 findings, "
                                     "2 inconclusive (a file could not be read, or there was none), 64 wrong usage, 130 interrupted.")
    parser.add_argument("paths", nargs="+", metavar="PATH", help="a folder, a C file, or a compile_commands.json")
    parser.add_argument("-p", "--database", metavar="FILE", help="compile_commands.json; the default is the nearest one above PATH. "
                        "A configured and prepared kernel tree needs none")
    parser.add_argument("--sarif", metavar="FILE", help="write the findings as SARIF 2.1.0, to standard output with -")
    parser.add_argument("-j", "--jobs", type=int, default=len(os.sched_getaffinity(0)), help="files read at once; default: one a processor")
    parser.add_argument("--root", metavar="DIR", help="the folder that reported paths are relative to; default: the current one")
    parser.add_argument("--cache", metavar="DIR", help="keep clang's trees there: a second run does not parse again. Empty it after a change of the source")
    parser.add_argument("--clang-warnings", action="store_true", help="also count what clang's own warnings say of the same files")
    parser.add_argument("--no-notes", action="store_true", help="warnings only")
    parser.error = lambda message: (parser.print_usage(sys.stderr), sys.stderr.write(f"kernel-check: {message}\n"), sys.exit(USAGE))
    return parser.parse_args()


def run(options):
    if options.jobs < 1:
        raise frontend.UsageError(f"--jobs is {options.jobs}: expected 1 or more")
    for path in options.paths:
        if not os.path.exists(path):
            raise frontend.UsageError(f"{path}: no such file or directory")
    frontend.clang_query()
    root = options.root or os.getcwd()
    jobs = [(command, options.cache, options.clang_warnings) for command in frontend.commands(options.paths, options.database)]
    functions, definitions, unread, warned = [], defaultdict(set), [], set()
    with multiprocessing.Pool(min(options.jobs, max(1, len(jobs)))) as pool:
        for facts, defined, file, complaints, warnings in pool.imap_unordered(analyse, jobs):
            functions += facts
            warned |= warnings
            for is_variable, name, identity in defined:
                definitions[is_variable, name].add(identity)
            if complaints:
                unread.append(f"{file} was not read in full: {complaints[0]}" + (f", and {len(complaints) - 1} more" if len(complaints) > 1 else ""))
    inside = frontend.reported(options.paths)
    findings = [f for f in Program(functions, definitions).findings(inside) if not options.no_notes or report.LEVELS[f.rule] != "note"]
    publish(options, findings, root, unread, jobs)
    if options.clang_warnings:
        flags = Counter(flag for place, flag in warned if inside(place))
        print(f"kernel-check: clang's own warnings: {sum(flags[f] for f in frontend.FLAGS)} -Wconversion, which are "
              + ", ".join(f"{flags[f]} {f}" for f in frontend.FLAGS), file=sys.stderr)
    warnings = [f for f in findings if report.LEVELS[f.rule] == "warning"]
    return FOUND if warnings else INCONCLUSIVE if unread or not jobs else PASS


def publish(options, findings, root, unread, jobs):
    if options.sarif:
        document = report.sarif(findings, root, unread)
        if options.sarif == "-":
            sys.stdout.write(document)
        else:
            with open(options.sarif, "w", encoding="utf-8") as file:
                file.write(document)
    if options.sarif != "-":
        for finding in findings:
            print(report.text(finding, root) + "\n")
    for line in sorted(unread):
        print("kernel-check: " + line, file=sys.stderr)
    notes = sum(report.LEVELS[f.rule] == "note" for f in findings)
    print(f"kernel-check: {len(jobs)} files, {sum(lines(*job[0][:2]) for job in jobs):,} lines, {len(findings) - notes} warnings, {notes} notes, "
          f"{len(unread)} files not read in full", file=sys.stderr)


def lines(directory, file):
    try:
        with open(os.path.join(directory, file), "rb") as stream:
            return sum(1 for _ in stream)
    except OSError:
        return 0


def main():
    try:
        return run(arguments())
    except frontend.UsageError as error:
        print(f"kernel-check: {error}", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
