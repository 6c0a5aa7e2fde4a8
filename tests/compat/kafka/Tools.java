import com.fasterxml.jackson.databind.JsonNode;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import org.apache.kafka.common.utils.Exit;

/**
 * Runs the main methods of Apache Kafka's command line tools without a JVM for each.
 *
 * <p>A tool runs in a thread of its own; what that thread and its children print goes to the tool's own buffer, and
 * what would end the JVM ends the thread. Shutdown hooks are not run.
 */
final class Tools {
    /** One run of one tool. */
    private static final class Run extends Thread {
        final Class<?> tool;
        final String[] arguments;
        final ByteArrayOutputStream output = new ByteArrayOutputStream();
        private volatile Map<String, Object> exit;

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
                error.getCause().printStackTrace();
                exit(1);
            } catch (ReflectiveOperationException error) {
                error.printStackTrace();
                exit(1);
            }
            exit(0);
        }

        /** Where the JVM would have ended: nothing that the tool's handlers print afterwards counts. */
        void exit(int status) {
            if (exit == null) {
                exit = Map.of("status", status, "output", output.toString(StandardCharsets.UTF_8), "running", false);
            }
        }

        Map<String, Object> report() {
            return exit != null && !isAlive()
                    ? exit
                    : Map.of("status", 0, "output", output.toString(StandardCharsets.UTF_8), "running", true);
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

    Tools(Map<String, Program.Verb> verbs) {
        System.setOut(new PrintStream(new Routed(System.out), true));
        System.setErr(new PrintStream(new Routed(System.err), true));
        Exit.setExitProcedure(Tools::exit);
        Exit.setHaltProcedure(Tools::exit);
        Exit.setShutdownHookAdder((name, hook) -> {});
        verbs.put("run_tool", this::run);
    }

    private static void exit(int status, String message) {
        CURRENT.get().exit(status);
        throw new Exited();
    }

    private Object run(JsonNode request) throws Exception {
        String[] arguments = Program.JSON.convertValue(request.get("arguments"), String[].class);
        Run run = new Run(Class.forName(request.get("tool").asText()), arguments);
        InputStream input = System.in;
        System.setIn(new ByteArrayInputStream(request.get("input").asText().getBytes(StandardCharsets.UTF_8)));
        try {
            run.start();
            run.join(request.get("timeout_ms").asLong());
            return run.report();
        } finally {
            System.setIn(input);
        }
    }
}
