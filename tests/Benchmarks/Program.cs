using System.Globalization;
using System.Reflection;
using BenchmarkDotNet.Running;
using SoakHost.Benchmarks;

if (args is ["monitoring"])
    await MonitoringCost.RunAsync();
else if (args is ["page"])
    await PageCost.RunAsync();
else if (args is ["checkpoints", .. var pairs])
    CheckpointCost.Run(pairs is [var count] ? int.Parse(count, CultureInfo.InvariantCulture) : 8);
else if (args is ["hour", .. var minutes])
    await HourOfSoak.RunAsync(minutes is [var number] ? int.Parse(number, CultureInfo.InvariantCulture) : 60);
else
    BenchmarkSwitcher.FromAssembly(Assembly.GetExecutingAssembly()).Run(args);
