"""Findings as text in the kernel's style, and as SARIF 2.1.0."""

import hashlib
import json
import os

# The prover's kernels that keep a snapshot narrow, one for each C type: `soakhost kernels` lists them.
KERNELS = {(8, True): "snapshot-i8", (8, False): "snapshot-u8", (16, True): "snapshot-i16", (16, False): "snapshot-u16",
           (32, True): "linux-6.1", (32, False): "snapshot-u32"}

RULES = {
    "narrow-round-trip": ("A 64-bit counter is narrowed implicitly and used at 64 bits again",
                          "Keep the value in the counter's own type on its whole way, or write the cast out where both sides are meant to be narrow."),
    "negative-round-trip": ("A negative number becomes a large positive one in a 64-bit sum",
                            "Give the parameter a signed type as wide as the sum."),
    "counter-kept-narrow": ("A narrow counter is compared with its own 64-bit copy",
                            "Both sides are extended alike, so they match; but they wrap together. Make the counter 64 bits, or the copy as narrow as it is."),
}
LEVELS = {"narrow-round-trip": "warning", "negative-round-trip": "warning", "counter-kept-narrow": "note"}


def kind_name(kind):
    width, signed = kind
    return f"{'i' if signed else 'u'}{width}"


def kernel(kind):
    """(name, first counter that it fails at) of the kernel of this width, or of the next wider one: bit-fields have widths of their own."""
    width, signed = kind
    nearest = min(w for w, s in KERNELS if s == signed and w >= width)
    return KERNELS[nearest, signed], 1 << (nearest - 1 if signed else nearest)


def prove(finding):
    """(command or None, what to know)."""
    if finding.rule == "negative-round-trip":
        return None, "no kernel: the model follows a snapshot that is compared, not a sum"
    if finding.rule == "counter-kept-narrow":
        return None, "no kernel: the model follows a snapshot that is compared, and here both sides are narrow alike"
    name, fails_from = kernel(finding.kernel)
    return f"soakhost prove --kernel {name}", "" if finding.kernel in KERNELS else (
        f"no kernel keeps {kind_name(finding.kernel)}: this one is the nearest, and fails from {fails_from} on")


def differs(finding):
    if finding.rule == "negative-round-trip":
        return f"-1 is the first value that differs: it comes back as {finding.back:#x}"
    if finding.rule == "counter-kept-narrow":
        return f"{finding.first} ({finding.first:#x}) events are the first number that the copy does not hold: it holds {finding.back:#x}"
    return f"{finding.first} ({finding.first:#x}) is the first value that differs: it comes back as {finding.back:#x}"


def place(where):
    return f"{where[0]}:{where[1]}:{where[2]}"


def relative(where, root):
    file = os.path.relpath(where[0], root)
    return (file if not file.startswith("..") else where[0], where[1], where[2])


def text(finding, root):
    at = lambda where: place(relative(where, root))
    level = LEVELS[finding.rule].upper()
    lines = [f"{at(finding.narrow.place)}: {level}: {finding.message} [{finding.rule}]"]
    for step in finding.steps:
        verb = "narrowed" if step.place == finding.narrow.place and step is finding.steps[0] else "widened" if step.place == finding.widened.place else "copied"
        lines.append(f"  {at(step.place)}: {verb}: {step.text}")
    if finding.meets:
        lines.append(f"  {at(finding.meets.place)}: compared: {finding.meets.text}")
    if finding.others:
        lines.append("  narrowed alike: " + ", ".join(at(o) for o in finding.others))
    lines.append(f"  {differs(finding)}")
    command, note = prove(finding)
    lines += [f"  go on with: {command}"] if command else []
    lines += [f"  {note}"] if note else []
    return "\n".join(lines)


def sarif(findings, root, unread):
    return json.dumps({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "kernel-check",
                "informationUri": "https://github.com/soakhost/soakhost/tree/main/deploy/kernel-check",
                "rules": [{"id": rule, "shortDescription": {"text": short + "."}, "help": {"text": helped}, "defaultConfiguration": {"level": LEVELS[rule]}}
                          for rule, (short, helped) in RULES.items()],
            }},
            "columnKind": "unicodeCodePoints",
            "originalUriBaseIds": {"ROOT": {"uri": "file://" + os.path.abspath(root).rstrip("/") + "/"}},
            "invocations": [{"executionSuccessful": not unread,
                             "toolExecutionNotifications": [{"level": "error", "message": {"text": line}} for line in unread]}],
            "results": [_result(f, root) for f in findings],
        }],
    }, indent=2) + "\n"


def _location(where, message, root):
    file, line, column = relative(where, root)
    artifact = {"uri": file, "uriBaseId": "ROOT"} if not os.path.isabs(file) else {"uri": "file://" + file}
    return {"physicalLocation": {"artifactLocation": artifact, "region": {"startLine": line, "startColumn": column}}, "message": {"text": message}}


def _result(finding, root):
    places = [(s.place, s.text) for s in finding.steps]
    if finding.meets:
        places.append((finding.meets.place, "compared: " + finding.meets.text))
    command, note = prove(finding)
    go_on = "; ".join(part for part in (f"Go on with: {command}" if command else "", note) if part)
    file = relative(finding.narrow.place, root)[0]
    fingerprint = hashlib.sha256(f"{finding.rule}\0{file}\0{finding.message}".encode()).hexdigest()[:32]
    where = _location(finding.narrow.place, "", root)
    return {
        "ruleId": finding.rule,
        "ruleIndex": list(RULES).index(finding.rule),
        "level": LEVELS[finding.rule],
        "message": {"text": f"{finding.message}. {differs(finding)}. {go_on[0].upper()}{go_on[1:]}."},
        "locations": [{"physicalLocation": where["physicalLocation"]}],
        "relatedLocations": [_location(o, "narrowed alike", root) for o in finding.others],
        "codeFlows": [{"threadFlows": [{"locations": [{"location": _location(p, t, root)} for p, t in places]}]}],
        "partialFingerprints": {"roundTrip/v1": fingerprint},
        "properties": {"firstDifference": str(finding.first), "comesBackAs": hex(finding.back), "narrowedTo": kind_name(finding.kernel),
                       **({"prove": command, "kernelFailsFrom": str(kernel(finding.kernel)[1])} if command else {})},
    }
