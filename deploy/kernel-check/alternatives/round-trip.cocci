// The same question in Coccinelle, for the comparison in ../README.md: kernel-check does not use it.
//   spatch --sp-file round-trip.cocci -D report --recursive-includes -I ../samples --dir ../samples
virtual report

// Through a parameter: a 64-bit argument, a narrow parameter, and a comparison with 64 bits in the function.
@narrow_parameter@
typedef u64, s64, u32, s32, u16, s16, u8, s8;
identifier f, x;
type t;
parameter list[n] before;
{unsigned long, long, u64, s64, size_t} wide;
@@
f(before, t x, ...)
{
 <+...
(
 x == wide
|
 wide == x
|
 x != wide
|
 wide != x
)
 ...+>
}

@through_parameter@
identifier narrow_parameter.f;
expression list[narrow_parameter.n] before;
{unsigned long, long, u64, s64, size_t} e;
position p;
@@
f(before, e@p, ...)

@script:python depends on report@
p << through_parameter.p;
f << narrow_parameter.f;
t << narrow_parameter.t;
@@
if t in ("int", "unsigned int", "u32", "s32", "short", "u16", "s16", "u8", "s8"):
  coccilib.report.print_report(p[0], "WARNING: 64-bit value narrowed by a parameter of %s(), compared at 64 bits there" % f)

// Through a local variable.
@through_local@
{int, unsigned int, u32, s32, short, u16, s16, u8, s8} x;
{unsigned long, long, u64, s64, size_t} e, wide;
position p;
@@
x@p = e
... when any
(
 x == wide
|
 wide == x
|
 x != wide
|
 wide != x
)

@script:python depends on report@
p << through_local.p;
@@
coccilib.report.print_report(p[0], "WARNING: 64-bit value narrowed by a local variable, compared at 64 bits")
