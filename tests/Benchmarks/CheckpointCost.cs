using System.Diagnostics;
using System.Globalization;
using SoakHost.Engine.Fleets;
using SoakHost.Engine.Soak;
using SoakHost.Model;
using SoakHost.Model.Kernels;
using SoakHost.Storage;

namespace SoakHost.Benchmarks;

/// <summary>
/// What a checkpoint every ten seconds costs a fleet of 100,000 VMs: pairs of ten-second windows of one running fleet, with a
/// checkpoint in one of each, first in the one and then in the other. Rates are slices per second of this process' own processor
/// time, the writing thread's included, so that whatever else the machine does is not taken for a cost. Beside them, what a
/// checkpoint takes by itself: the processor time of the thread that writes, and that of writing every state down. <c>dotnet run
/// -c Release --project tests/Benchmarks -- checkpoints [pairs]</c>.
/// </summary>
internal static class CheckpointCost
{
    private const int Vms = 100_000;
    private static readonly TimeSpan Window = TimeSpan.FromSeconds(10);

    public static void Run(int pairs)
    {
        var options = new FleetOptions
        {
            Cohorts =
            [
                new SimulatedCohort
                {
                    Name = "stable",
                    Kernel = Kernel.Of<Linux61Stable>(),
                    Vms = Vms,
                    Vm = new VmParameters(),
                },
            ],
            Workers = Environment.ProcessorCount,
        };
        string folder = Directory.CreateTempSubdirectory("soakhost-bench-").FullName;
        try
        {
            using SoakDatabase database = SoakDatabase.Open(folder);
            long run = database.AddRun(RunIdentity.Of(options), TimeProvider.System.GetUtcNow());
            using var fleet = new Fleet(options, TimeProvider.System);
            fleet.KeepFindings();
            fleet.Start();
            long bytes = Checkpoint(fleet, database, run);
            Measure(null);
            var ratios = new List<double>();
            var written = new List<double>();
            var writing = new List<double>();
            for (int pair = 0; pair < pairs; pair++)
            {
                bool first = pair % 2 == 0;
                TimeSpan own = ThreadCpu();
                (double a, TimeSpan tookA) = Measure(first ? () => Checkpoint(fleet, database, run) : null);
                (double b, TimeSpan tookB) = Measure(first ? null : () => Checkpoint(fleet, database, run));
                writing.Add((ThreadCpu() - own).TotalMilliseconds);
                (double with, double without) = first ? (a, b) : (b, a);
                ratios.Add(1 - (with / without));
                written.Add((first ? tookA : tookB).TotalMilliseconds);
                Console.WriteLine(
                    $"pair {pair}: {with:F1} slices per CPU second with, {without:F1} without: {ratios[^1]:P2}; written after "
                        + $"{written[^1]:F0} ms"
                );
            }

            fleet.Stop(TimeSpan.FromSeconds(30));
            List<double> states = [.. Enumerable.Range(0, pairs).Select(_ => StatesMs(fleet))];
            double available = Window.TotalMilliseconds * options.Workers;
            Console.WriteLine($"cost in slices per second of processor time: {MonitoringCost.Interval(ratios)}");
            Console.WriteLine(
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"processor time of a checkpoint: {MonitoringCost.Median(writing):F0} ms to put it into the database, at "
                        + $"most {writing.Max():F0}; "
                        + $"{MonitoringCost.Median(states):F0} ms to write the states down, at most {states.Max():F0}"));
            Console.WriteLine(
                $"the share of {options.Workers} processors, every {Window.TotalSeconds} s: "
                    + $"{MonitoringCost.Interval([.. writing.Zip(states, (a, b) => (a + b) / available)])}"
            );
            Console.WriteLine(
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"a state {bytes / (double)Vms:F1} bytes per VM; on disk, with two checkpoints and the log, "
                        + $"{Directory.GetFiles(folder).Sum(file => new FileInfo(file).Length) / (double)Vms:F1} bytes per VM"));

            (double Rate, TimeSpan Took) Measure(Action? checkpoint)
            {
                long slices = fleet.Workers.Sum(worker => worker.Slices);
                long start = Stopwatch.GetTimestamp();
                TimeSpan busy = Environment.CpuUsage.TotalTime;
                checkpoint?.Invoke();
                TimeSpan took = Stopwatch.GetElapsedTime(start);
                using var never = new ManualResetEventSlim();
                never.Wait(Window > took ? Window - took : TimeSpan.Zero);
                return (
                    (fleet.Workers.Sum(worker => worker.Slices) - slices) / (Environment.CpuUsage.TotalTime - busy).TotalSeconds,
                    took);
            }
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static long Checkpoint(Fleet fleet, SoakDatabase database, long run)
    {
        var answers = new System.Collections.Concurrent.BlockingCollection<ShardCheckpoint>();
        int asked = fleet.RequestCheckpoint(answers.Add);
        List<ShardCheckpoint> batch = [];
        long bytes = 0;
        for (int answer = 1; answer <= asked; answer++)
        {
            batch.Add(answers.Take());
            bytes += batch[^1].State.Length;
            if (batch.Count < 512 && answer < asked)
                continue;
            database.AddCheckpoints(
                run,
                batch,
                [.. batch.SelectMany(part => part.Findings.Select(finding => (part.Cohort, finding)))],
                100_000,
                TimeProvider.System.GetUtcNow());
            batch.Clear();
        }

        return bytes;
    }

    /// <summary>How long one thread takes to write down every state, in ms.</summary>
    private static double StatesMs(Fleet fleet)
    {
        TimeSpan start = ThreadCpu();
        fleet.Checkpoint(_ => { });
        return (ThreadCpu() - start).TotalMilliseconds;
    }

    /// <summary>Processor time of the calling thread.</summary>
    private static TimeSpan ThreadCpu() => TimeSpan.FromMicroseconds(
        double.Parse(File.ReadAllText("/proc/thread-self/schedstat").Split(' ')[0], CultureInfo.InvariantCulture) / 1000);
}
