using System.Reflection;
using BenchmarkDotNet.Running;

if (args is ["monitoring"])
    await MonitoringCost.RunAsync();
else
    BenchmarkSwitcher.FromAssembly(Assembly.GetExecutingAssembly()).Run(args);
