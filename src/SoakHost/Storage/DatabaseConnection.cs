using Microsoft.Data.Sqlite;
using SoakHost.Configuration;

namespace SoakHost.Storage;

/// <summary>
/// A connection to a SQLite database, and statements with named parameters. One thread at a time may use it. One that only reads
/// reports a database that cannot be read as a <see cref="ConfigurationException"/>, since whoever asked chose the data
/// directory.
/// </summary>
internal sealed class DatabaseConnection : IDisposable
{
    private const int TimeoutSeconds = 5;
    private readonly SqliteConnection _connection;
    private readonly bool _isReadOnly;

    private DatabaseConnection(SqliteConnection connection, bool isReadOnly) =>
        (_connection, _isReadOnly) = (connection, isReadOnly);

    /// <summary>Opens a database.</summary>
    /// <param name="path">The file.</param>
    /// <param name="mode">Whether it is written to.</param>
    /// <exception cref="SqliteException">It cannot be opened.</exception>
    public static DatabaseConnection Open(string path, SqliteOpenMode mode)
    {
        var text = new SqliteConnectionStringBuilder
        {
            DataSource = path,
            Mode = mode,
            Pooling = false,
            DefaultTimeout = TimeoutSeconds,
        };
        var connection = new SqliteConnection(text.ToString());
        try
        {
            connection.Open();
        }
        catch
        {
            connection.Dispose();
            throw;
        }

        connection.CreateFunction<long>(StoredTable.ChecksumFunction, StoredTable.Checksum, isDeterministic: true);
        return new DatabaseConnection(connection, mode == SqliteOpenMode.ReadOnly);
    }

    /// <summary>Begins a transaction, which is rolled back unless it is committed.</summary>
    public SqliteTransaction Begin() => _connection.BeginTransaction();

    /// <summary>A statement that can be executed several times.</summary>
    public SqliteCommand Prepare(string sql)
    {
        SqliteCommand command = _connection.CreateCommand();
#pragma warning disable CA2100 // Every text is a constant of this namespace; what comes from outside is a parameter.
        command.CommandText = sql;
#pragma warning restore CA2100
        return command;
    }

    /// <summary>Executes a prepared statement.</summary>
    public static void Execute(SqliteCommand command, params (string Name, object? Value)[] parameters)
    {
        Bind(command, parameters);
        command.ExecuteNonQuery();
    }

    /// <summary>Executes a statement.</summary>
    public void Execute(string sql, params (string Name, object? Value)[] parameters)
    {
        using SqliteCommand command = Prepare(sql);
        Execute(command, parameters);
    }

    /// <summary>The first value of the first row; null where it is NULL, or there is no row.</summary>
    public object? Scalar(string sql, params (string Name, object? Value)[] parameters)
    {
        using SqliteCommand command = Prepare(sql);
        Bind(command, parameters);
        return command.ExecuteScalar() is var value and not DBNull ? value : null;
    }

    /// <summary>Rows, read one by one.</summary>
    public IEnumerable<T> Query<T>(string sql, Func<SqliteDataReader, T> read, params (string Name, object? Value)[] parameters)
    {
        using SqliteCommand command = Prepare(sql);
        Bind(command, parameters);
        using SqliteDataReader reader = Attempt(command.ExecuteReader);
        while (Attempt(reader.Read))
            yield return read(reader);
    }

    /// <summary>The database file.</summary>
    public string Path => _connection.DataSource;

    /// <summary>Records of a table, each trusted or refused.</summary>
    /// <param name="table">The table.</param>
    /// <param name="rest">What follows the table's name in the query.</param>
    /// <param name="read">Reads a row, whose column 1 is the key.</param>
    /// <param name="parameters">Parameters of the query.</param>
    public IEnumerable<Stored<T>> Query<T>(
        StoredTable table, string rest, Func<SqliteDataReader, T> read, params (string Name, object? Value)[] parameters)
        where T : class => Query(table.Select(rest), row => table.Read(row, read), parameters);

    /// <summary>
    /// Copies the whole database into a new file, also while it is written to, and also if its own file was removed.
    /// </summary>
    /// <exception cref="SqliteException">The file cannot be written.</exception>
    public void BackUp(string path)
    {
        using DatabaseConnection copy = Open(path, SqliteOpenMode.ReadWriteCreate);
        _connection.BackupDatabase(copy._connection);
    }

    /// <inheritdoc/>
    public void Dispose() => _connection.Dispose();

    private T Attempt<T>(Func<T> step)
    {
        try
        {
            return step();
        }
        catch (SqliteException exception) when (_isReadOnly)
        {
            throw new ConfigurationException($"{_connection.DataSource} cannot be read: {SqliteCodes.Explain(exception)}");
        }
    }

    private static void Bind(SqliteCommand command, (string Name, object? Value)[] parameters)
    {
        command.Parameters.Clear();
        foreach ((string name, object? value) in parameters)
            command.Parameters.AddWithValue(name, value ?? DBNull.Value);
    }
}

/// <summary>SQLite's result codes that need an answer of their own.</summary>
internal static class SqliteCodes
{
    public const int Corrupt = 11;
    public const int NotADatabase = 26;

    /// <summary>An extended code: a write was interrupted, and whoever only reads cannot undo it.</summary>
    public const int ReadOnlyRollback = 776;

    /// <summary>What went wrong, as a part of a sentence.</summary>
    public static string Explain(SqliteException exception) => exception.SqliteExtendedErrorCode == ReadOnlyRollback
        ? "a write was interrupted. The next start of the service undoes it" : exception.Message;
}
