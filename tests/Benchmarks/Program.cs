using BenchmarkDotNet.Running;
using SoakHost.Benchmarks;

if (args is ["checkpoints", ..])
    CheckpointCost.Run(args.Length > 1 ? int.Parse(args[1], System.Globalization.CultureInfo.InvariantCulture) : 8);
else
    BenchmarkSwitcher.FromAssembly(System.Reflection.Assembly.GetExecutingAssembly()).Run(args);
