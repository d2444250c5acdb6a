namespace SoakHost.Shared;

/// <summary>Clients for the servers that tests start.</summary>
internal static class LoopbackClient
{
    /// <summary>
    /// A client that keeps a connection for a shorter time than the service does: the service closes one that was idle for 5 s,
    /// and a request that is sent on it in that moment fails.
    /// </summary>
    /// <param name="timeout">The longest that a request may take; 100 seconds without it.</param>
    public static HttpClient Create(TimeSpan? timeout = null)
    {
        HttpClient client = new(new SocketsHttpHandler { PooledConnectionIdleTimeout = TimeSpan.FromSeconds(2) });
        if (timeout is TimeSpan limit)
            client.Timeout = limit;
        return client;
    }
}
