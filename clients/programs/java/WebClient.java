import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;

/** Gets a page for 5 s, and 60 times at least, on a slow machine: with an HttpClient for each (each) or with one for all (kept). */
public class WebClient {
    public static void main(String[] args) throws Exception {
        HttpClient kept = args[0].equals("kept") ? HttpClient.newHttpClient() : null;
        HttpRequest request = HttpRequest.newBuilder(URI.create("http://127.0.0.1/page.html"))
                .version(HttpClient.Version.HTTP_1_1).timeout(Duration.ofSeconds(3)).build();
        long end = System.nanoTime() + 5_000_000_000L;
        for (int n = 0; n < 60 || System.nanoTime() < end; n++) {
            HttpClient client = kept != null ? kept : HttpClient.newHttpClient();
            client.send(request, HttpResponse.BodyHandlers.ofString());
            Thread.sleep(kept != null ? 20 : 60);
        }
        System.exit(0);
    }
}
