import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;

/** Queries PostgreSQL for 5 s: with a connection for each query (each) or with a HikariCP pool (kept). */
public class SqlClient {
    private static final String URL = "jdbc:postgresql://127.0.0.1:5432/postgres?user=postgres&sslmode=disable";

    private static void query(Connection connection) throws SQLException {
        try (Connection c = connection) {
            c.createStatement().executeQuery("select 1").next();
        }
    }

    public static void main(String[] args) throws Exception {
        HikariDataSource pool = null;
        if (args[0].equals("kept")) {
            HikariConfig config = new HikariConfig();
            config.setJdbcUrl(URL);
            config.setMaximumPoolSize(4);
            pool = new HikariDataSource(config);
        }
        long end = System.nanoTime() + 5_000_000_000L;
        while (System.nanoTime() < end) {
            query(pool != null ? pool.getConnection() : DriverManager.getConnection(URL));
            Thread.sleep(pool != null ? 10 : 30);
        }
        if (pool != null) {
            pool.close();
        }
    }
}
