namespace SoakHost.Engine.Fleets;

/// <summary>Order statistics without sorting: a fleet of a million VMs is asked for its median once a second.</summary>
internal static class Selection
{
    /// <summary>The value that would be at <paramref name="index"/> if the values were sorted. Reorders them.</summary>
    public static ulong Nth(Span<ulong> values, int index)
    {
        // Hoare's selection. Values equal to the pivot end up on both sides, so that a fleet whose counters are all alike is
        // halved too.
        while (values.Length > 1)
        {
            ulong pivot = MedianOfThree(values[0], values[values.Length / 2], values[^1]);
            int low = 0, high = values.Length - 1;
            while (low <= high)
            {
                while (values[low] < pivot)
                    low++;
                while (values[high] > pivot)
                    high--;
                if (low > high)
                    break;
                (values[low], values[high]) = (values[high], values[low]);
                low++;
                high--;
            }

            if (index <= high)
            {
                values = values[..(high + 1)];
            }
            else if (index >= low)
            {
                values = values[low..];
                index -= low;
            }
            else
            {
                return pivot;
            }
        }

        return values[index];
    }

    private static ulong MedianOfThree(ulong a, ulong b, ulong c) => Math.Max(Math.Min(a, b), Math.Min(Math.Max(a, b), c));
}
