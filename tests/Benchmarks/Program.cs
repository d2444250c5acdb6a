using System.Globalization;
using System.Reflection;
using BenchmarkDotNet.Running;
using SoakHost.Benchmarks;

if (args is ["monitoring"])
    await MonitoringCost.RunAsync();
else if (args is ["page"])
    await PageCost.RunAsync();
else if (args is ["watch", .. var length])
{
    await WatchCost.RunAsync(
        length is [var seconds, ..] ? int.Parse(seconds, CultureInfo.InvariantCulture) : 600,
        length is [_, var other] ? other : null);
}
else if (args is ["exit-latency"])
    return await ExitLatency.MeasureAsync();
else if (args is ["watch-stub", var stubFolder, var stubVm])
    WatchCost.RunStub(stubFolder, stubVm);
else if (args is ["watch-serve", var root, var address])
    return await WatchCost.ServeAsync(root, address);
else if (args is ["checkpoints", .. var pairs])
    CheckpointCost.Run(pairs is [var count] ? int.Parse(count, CultureInfo.InvariantCulture) : 8);
else if (args is ["hour", .. var minutes])
    await HourOfSoak.RunAsync(minutes is [var number] ? int.Parse(number, CultureInfo.InvariantCulture) : 60);
else
    BenchmarkSwitcher.FromAssembly(Assembly.GetExecutingAssembly()).Run(args);
return 0;
