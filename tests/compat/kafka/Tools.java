import com.fasterxml.jackson.databind.JsonNode;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import org.apache.kafka.common.utils.Exit;

/**
 * Runs the main methods of Apache Kafka's command line tools without a JVM for each.
 *
 * <p>A tool runs in a thread of its own; what that thread and its children print goes to the tool's own buffer, and
 * what would end the JVM ends the thread.
 */
final class Tools {
    /** One run of one tool. */
    private static final class Run extends Thread {
        final Class<?> tool;
        final String[] arguments;
        final ByteArrayOutputStream output = new ByteArrayOutputStream();
        final List<Runnable> shutdownHooks = new CopyOnWriteArrayList<>();
        volatile int status = 0;

        Run(Class<?> tool, String[] arguments) {
            super(tool.getSimpleName());
            this.tool = tool;
            this.arguments = arguments;
            setDaemon(true);
        }

        @Override
        public void run() {
            CURRENT.set(this);
            try {
                tool.getMethod("main", String[].class).invoke(null, (Object) arguments);
            } catch (InvocationTargetException error) {
                if (!(error.getCause() instanceof Exited)) {
                    status = 1;
                    error.getCause().printStackTrace();
                }
            } catch (ReflectiveOperationException error) {
                status = 1;
                error.printStackTrace();
            }
        }

        Map<String, Object> report() {
            return Map.of("status", status, "output", output.toString(StandardCharsets.UTF_8), "running", isAlive());
        }
    }

    /** Ends the thread that wanted to end the JVM; an Error, because tools catch exceptions. */
    private static final class Exited extends Error {
        private static final long serialVersionUID = 1L;
    }

    /** Prints where the run that a thread belongs to wants it, elsewhere to the JVM's own stream. */
    private static final class Routed extends OutputStream {
        private final PrintStream rest;

        Routed(PrintStream rest) {
            this.rest = rest;
        }

        private OutputStream target() {
            Run run = CURRENT.get();
            return run == null ? rest : run.output;
        }

        @Override
        public void write(int octet) {
            write(new byte[] {(byte) octet}, 0, 1);
        }

        @Override
        public void write(byte[] octets, int start, int length) {
            try {
                target().write(octets, start, length);
            } catch (java.io.IOException error) {
                throw new java.io.UncheckedIOException(error);
            }
        }
    }

    private static final InheritableThreadLocal<Run> CURRENT = new InheritableThreadLocal<>();
    private final Map<String, Run> runs = new HashMap<>();

    Tools(Map<String, Program.Verb> verbs) {
        System.setOut(new PrintStream(new Routed(System.out), true));
        System.setErr(new PrintStream(new Routed(System.err), true));
        Exit.setExitProcedure(Tools::exit);
        Exit.setHaltProcedure(Tools::exit);
        Exit.setShutdownHookAdder((name, hook) -> CURRENT.get().shutdownHooks.add(hook));
        verbs.put("run_tool", this::run);
        verbs.put("start_tool", this::start);
        verbs.put("tool_report", request -> runs.get(request.get("handle").asText()).report());
        verbs.put("stop_tool", this::stop);
    }

    private static void exit(int status, String message) {
        Run run = CURRENT.get();
        if (run.status == 0) {
            run.status = status;
        }
        throw new Exited();
    }

    private Object run(JsonNode request) throws Exception {
        InputStream input = System.in;
        System.setIn(new ByteArrayInputStream(request.get("input").asText().getBytes(StandardCharsets.UTF_8)));
        try {
            Run run = launch(request);
            run.join(request.get("timeout_ms").asLong());
            return run.report();
        } finally {
            System.setIn(input);
        }
    }

    private Object start(JsonNode request) throws Exception {
        runs.put(request.get("handle").asText(), launch(request));
        return null;
    }

    private Object stop(JsonNode request) throws Exception {
        Run run = runs.remove(request.get("handle").asText());
        CURRENT.set(run);
        try {
            run.shutdownHooks.forEach(Runnable::run);
        } finally {
            CURRENT.remove();
        }
        run.join(10_000);
        return run.report();
    }

    private static Run launch(JsonNode request) throws ClassNotFoundException {
        String[] arguments = Program.JSON.convertValue(request.get("arguments"), String[].class);
        Run run = new Run(Class.forName(request.get("tool").asText()), arguments);
        run.start();
        return run;
    }
}
