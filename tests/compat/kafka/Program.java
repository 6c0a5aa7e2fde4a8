import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.ExecutionException;

/**
 * Apache Kafka's own clients and tools in one JVM, driven by one JSON object per line: see tests/compat/README.md.
 */
public final class Program {
    static final ObjectMapper JSON = new ObjectMapper();

    /** Does what a request asks for and returns what the reply carries. */
    interface Verb {
        Object run(JsonNode request) throws Exception;
    }

    public static void main(String[] arguments) throws Exception {
        PrintStream replies = System.out;
        Map<String, Verb> verbs = new HashMap<>();
        new Producers(new Consumers(verbs), verbs);
        new Administration(verbs);
        new Tools(verbs);
        Streams.addTo(verbs);
        BufferedReader requests = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = requests.readLine(); line != null; line = requests.readLine()) {
            replies.println(JSON.writeValueAsString(reply(verbs, JSON.readTree(line))));
            replies.flush();
        }
        System.exit(0); // Clients that a failed test left open have threads that would keep the JVM alive.
    }

    private static Map<String, Object> reply(Map<String, Verb> verbs, JsonNode request) {
        Map<String, Object> reply = new HashMap<>();
        try {
            reply.put("result", verbs.get(request.get("verb").asText()).run(request));
        } catch (Exception error) {
            Throwable cause = error instanceof ExecutionException ? error.getCause() : error;
            reply.put("error", cause.getClass().getSimpleName());
            reply.put("message", String.valueOf(cause.getMessage()));
        }
        return reply;
    }
}
