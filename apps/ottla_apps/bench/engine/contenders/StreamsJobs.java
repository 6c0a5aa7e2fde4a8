import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.time.Duration;
import java.util.Locale;
import java.util.Properties;
import java.util.UUID;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.Serializer;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.EmitStrategy;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Joined;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.TimeWindows;

/**
 * The windowed count and the join for Kafka Streams, run from source: java StreamsJobs.java GUARANTEE JOB BROKER TOPIC
 * COUNT SECONDS. The job is done twice in one JVM, and the second time is measured, so that what counts is compiled
 * code, as it is after the first minutes of a real application.
 */
public class StreamsJobs {
    static final int CHECK_EVERY = 1024;
    static final ObjectMapper JSON = new ObjectMapper();

    public record Payment(long id, String account, double amount, String note) {}

    public record Account(String account, String owner) {}

    public record Count(String account, long start, long payments) {}

    /** Events since the first one, and the seconds they took, until there are enough of either. */
    static final class Meter {
        private final long most;
        private final double longest;
        private final CountDownLatch done = new CountDownLatch(1);
        private long passed;
        private long started;
        private volatile long events;
        private volatile double seconds;

        Meter(long count, double seconds) {
            most = count - count % CHECK_EVERY;
            longest = seconds;
        }

        void passed() {
            if (passed == 0) started = System.nanoTime();
            if (++passed % CHECK_EVERY != 0 || done.getCount() == 0) return;
            var took = (System.nanoTime() - started) / 1e9;
            if (passed < most && took < longest) return;
            events = passed;
            seconds = took;
            done.countDown();
        }
    }

    public static void main(String[] args) throws Exception {
        var seconds = Double.parseDouble(args[5]);
        var count = Long.parseLong(args[4]);
        run(args, new Meter(count, seconds), seconds);
        var meter = new Meter(count, seconds);
        run(args, meter, seconds);
        System.out.printf(Locale.ROOT, "{\"events\": %d, \"seconds\": %f}%n", meter.events, meter.seconds);
        System.out.flush();
        Runtime.getRuntime().halt(0);
    }

    static void run(String[] args, Meter meter, double seconds) throws Exception {
        var builder = new StreamsBuilder();
        var payments = builder.stream(args[3], Consumed.with(Serdes.String(), serde(Payment.class)));
        if (args[1].equals("windowed")) windowed(payments, meter, args[3] + "-out");
        else join(builder, payments, meter);
        var settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, "bench-" + UUID.randomUUID());
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, args[2]);
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, args[0]);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, Files.createTempDirectory("streams").toString());
        settings.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest");
        try (var streams = new KafkaStreams(builder.build(), settings)) {
            streams.setUncaughtExceptionHandler(error -> {
                error.printStackTrace();
                Runtime.getRuntime().halt(1);
                return StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
            });
            streams.start();
            if (!meter.done.await((long) seconds + 60, TimeUnit.SECONDS)) {
                System.err.println("the job was not done within " + (long) (seconds + 60) + " s");
                Runtime.getRuntime().halt(1);
            }
        }
    }

    static void windowed(KStream<String, Payment> payments, Meter meter, String out) {
        payments.peek((account, payment) -> meter.passed())
            .groupByKey(Grouped.with(Serdes.String(), serde(Payment.class)))
            .windowedBy(TimeWindows.ofSizeAndGrace(Duration.ofMinutes(5), Duration.ofMinutes(1)))
            .emitStrategy(EmitStrategy.onWindowClose())
            .count()
            .toStream()
            .map((window, count) ->
                KeyValue.pair(window.key(), new Count(window.key(), window.window().start(), count)))
            .to(out, Produced.with(Serdes.String(), serde(Count.class)));
    }

    static void join(StreamsBuilder builder, KStream<String, Payment> payments, Meter meter) {
        var accounts = builder.table("accounts", Consumed.with(Serdes.String(), serde(Account.class)));
        payments.join(
                accounts,
                (payment, account) -> payment.amount() + account.owner(),
                Joined.with(Serdes.String(), serde(Payment.class), serde(Account.class)))
            .foreach((account, joined) -> meter.passed());
    }

    static <T> Serde<T> serde(Class<T> type) {
        Serializer<T> serializer = (topic, value) -> {
            try {
                return value == null ? null : JSON.writeValueAsBytes(value);
            } catch (IOException error) {
                throw new IllegalStateException(error);
            }
        };
        Deserializer<T> deserializer = (topic, data) -> {
            try {
                return data == null ? null : JSON.readValue(data, type);
            } catch (IOException error) {
                throw new IllegalStateException(error);
            }
        };
        return Serdes.serdeFrom(serializer, deserializer);
    }
}
