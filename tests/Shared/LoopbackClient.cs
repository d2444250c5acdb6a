namespace SoakHost.Shared;

/// <summary>Clients for the servers that tests start.</summary>
internal static class LoopbackClient
{
    /// <summary>
    /// A client that opens a connection for each request. The service closes a connection that was idle for a few seconds, and a
    /// request that is sent on it in that moment fails.
    /// </summary>
    /// <param name="timeout">The longest that a request may take; 100 seconds without it.</param>
    public static HttpClient Create(TimeSpan? timeout = null)
    {
        HttpClient client = new(new SocketsHttpHandler { PooledConnectionIdleTimeout = TimeSpan.Zero });
        if (timeout is TimeSpan limit)
            client.Timeout = limit;
        return client;
    }
}
