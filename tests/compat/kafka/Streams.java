import com.fasterxml.jackson.databind.JsonNode;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.function.Function;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.TestInputTopic;
import org.apache.kafka.streams.TestOutputTopic;
import org.apache.kafka.streams.TopologyTestDriver;
import org.apache.kafka.streams.kstream.Aggregator;
import org.apache.kafka.streams.kstream.CogroupedKStream;
import org.apache.kafka.streams.kstream.EmitStrategy;
import org.apache.kafka.streams.kstream.GlobalKTable;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.JoinWindows;
import org.apache.kafka.streams.kstream.Joined;
import org.apache.kafka.streams.kstream.KGroupedStream;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.KeyValueMapper;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.SessionWindows;
import org.apache.kafka.streams.kstream.SlidingWindows;
import org.apache.kafka.streams.kstream.Suppressed;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.kstream.ValueJoiner;
import org.apache.kafka.streams.kstream.Windowed;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.SessionStore;
import org.apache.kafka.streams.state.Stores;
import org.apache.kafka.streams.state.WindowStore;
import org.apache.kafka.streams.test.TestRecord;

/**
 * Kafka Streams as the reference: a topology given as a list of steps, and what it emits for each record it is given.
 *
 * <p>All keys and values are text, tables are materialized. A step is {"step": KIND, "name": NAME, "of": NAME of the step before, ...}; joins add
 * "with" and "how". test_streams.py declares the same steps for Ottla.
 */
final class Streams {
    private static final ValueJoiner<String, String, String> PAIR = (left, right) -> left + "+" + right;

    private static final Aggregator<String, String, String> PUT_IN = (key, value, all) -> all + "+" + value;
    private static final Aggregator<String, String, String> OTHER_PUT_IN = (key, value, all) -> all + "-" + value;

    /** Far more than size and grace: what is older than retention would not be emitted when its window closes. */
    private static final Duration RETENTION = Duration.ofDays(1);

    private final StreamsBuilder builder = new StreamsBuilder();
    private final Map<String, KStream<String, String>> streams = new HashMap<>();
    private final Map<String, KTable<String, String>> tables = new HashMap<>();
    private final Map<String, KTable<Windowed<String>, String>> windowTables = new HashMap<>();
    private final Map<String, GlobalKTable<String, String>> globalTables = new HashMap<>();
    private final List<String> outputs = new ArrayList<>();

    private Streams(JsonNode steps) {
        steps.forEach(this::add);
    }

    static void addTo(Map<String, Program.Verb> verbs) {
        verbs.put("run_topology", Streams::run);
    }

    /** Returns, for each record, the list of what it made the topology write: topic, key, value and timestamp. */
    private static Object run(JsonNode request) throws Exception {
        Streams topology = new Streams(request.get("steps"));
        Path state = Files.createTempDirectory("streams");
        Properties config = new Properties();
        config.put(StreamsConfig.APPLICATION_ID_CONFIG, "reference");
        config.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, "nowhere:1");
        config.put(StreamsConfig.STATE_DIR_CONFIG, state.toString());
        config.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        config.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        config.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 0L);
        // Nothing is held back by the clock, which stands still here.
        config.put(StreamsConfig.InternalConfig.EMIT_INTERVAL_MS_KSTREAMS_OUTER_JOIN_SPURIOUS_RESULTS_FIX, 0L);
        config.put(StreamsConfig.InternalConfig.EMIT_INTERVAL_MS_KSTREAMS_WINDOWED_AGGREGATION, 0L);
        List<Object> emitted = new ArrayList<>();
        try (TopologyTestDriver driver = new TopologyTestDriver(topology.builder.build(), config, Instant.EPOCH)) {
            Map<String, TestInputTopic<String, String>> inputs = new HashMap<>();
            Map<String, TestOutputTopic<String, String>> outputs = new HashMap<>();
            for (JsonNode record : request.get("records")) {
                String topic = record.get(0).asText();
                inputs.computeIfAbsent(
                                topic,
                                name -> driver.createInputTopic(name, new StringSerializer(), new StringSerializer()))
                        .pipeInput(text(record.get(1)), text(record.get(2)), record.get(3).asLong());
                List<Object> made = new ArrayList<>();
                for (String name : topology.outputs) {
                    TestOutputTopic<String, String> output = outputs.computeIfAbsent(
                            name, each -> driver.createOutputTopic(each, new StringDeserializer(), new StringDeserializer()));
                    for (TestRecord<String, String> out : output.readRecordsToList()) {
                        made.add(Arrays.asList(name, out.key(), out.value(), out.timestamp()));
                    }
                }
                emitted.add(made);
            }
        } finally {
            Files.deleteIfExists(state.resolve("reference"));
            Files.deleteIfExists(state);
        }
        return emitted;
    }

    private void add(JsonNode step) {
        String name = step.path("name").asText();
        String of = step.path("of").asText();
        switch (step.get("step").asText()) {
            case "stream" -> streams.put(name, builder.stream(step.get("topic").asText()));
            case "table" -> tables.put(name, builder.table(step.get("topic").asText(), Materialized.as(name)));
            case "versioned_table" -> tables.put(
                    name,
                    builder.table(
                            step.get("topic").asText(),
                            Materialized.as(Stores.persistentVersionedKeyValueStore(
                                    name, step.has("retention") ? duration(step, "retention") : RETENTION))));
            case "global_table" -> globalTables.put(
                    name, builder.globalTable(step.get("topic").asText(), Materialized.as(name)));
            case "global_join" -> streams.put(name, joinGlobal(step, streams.get(of), globalTables.get(with(step))));
            case "aggregate" -> tables.put(
                    name,
                    streams.get(of).groupByKey().aggregate(() -> "", (key, value, all) -> all + "+" + value));
            case "group" -> tables.put(
                    name,
                    tables.get(of)
                            .groupBy((key, value) -> KeyValue.pair(firstLetter(value), value))
                            .aggregate(
                                    () -> "",
                                    (key, value, all) -> all + "+" + value,
                                    (key, value, all) -> all + "-" + value));
            case "to_table" -> tables.put(name, streams.get(of).toTable(Materialized.as(name)));
            case "to_stream" -> streams.put(name, tables.get(of).toStream());
            case "filter" -> tables.put(name, tables.get(of).filter((key, value) -> value.compareTo(least(step)) >= 0));
            case "map_values" -> tables.put(name, tables.get(of).mapValues(value -> "<" + value + ">"));
            case "stream_join" -> streams.put(name, joinStreams(step, streams.get(of), streams.get(with(step))));
            case "stream_table_join" -> streams.put(name, joinTable(step, streams.get(of), tables.get(with(step))));
            case "table_join" -> tables.put(name, joinTables(step, tables.get(of), tables.get(with(step))));
            case "foreign_key_join" -> tables.put(name, joinForeign(step, tables.get(of), tables.get(with(step))));
            case "count" -> streams.put(name, byWindow(counts(step, streams.get(of))));
            case "window_table" -> windowTables.put(name, counts(step, streams.get(of)).mapValues(String::valueOf));
            case "window_filter" -> windowTables.put(
                    name, windowTables.get(of).filter((key, value) -> value.compareTo(least(step)) >= 0));
            case "window_join" -> windowTables.put(
                    name, joinTables(step, windowTables.get(of), windowTables.get(with(step))));
            case "window_foreign_key_join" -> {
                Function<String, String> key = Streams::firstLetter;
                KTable<Windowed<String>, String> left = windowTables.get(of);
                KTable<String, String> right = tables.get(with(step));
                windowTables.put(
                        name,
                        step.get("how").asText().equals("inner")
                                ? left.join(right, key, PAIR)
                                : left.leftJoin(right, key, PAIR));
            }
            case "window_suppress" -> windowTables.put(
                    name,
                    windowTables.get(of).suppress(Suppressed.untilTimeLimit(
                            duration(step, "within"), Suppressed.BufferConfig.maxBytes(Long.MAX_VALUE))));
            case "window_group" -> tables.put(
                    name,
                    windowTables.get(of)
                            .groupBy((key, value) -> KeyValue.pair("from " + key.window().start(), value))
                            .aggregate(
                                    () -> "",
                                    (key, value, all) -> all + "+" + value,
                                    (key, value, all) -> all + "-" + value));
            case "window_stream" -> streams.put(name, byWindow(windowTables.get(of)));
            case "to" -> {
                String topic = step.get("topic").asText();
                outputs.add(topic);
                streams.get(of).to(topic);
            }
            case "cogroup" -> tables.put(
                    name,
                    streams.get(of).groupByKey()
                            .cogroup(PUT_IN)
                            .cogroup(streams.get(with(step)).groupByKey(), OTHER_PUT_IN)
                            .aggregate(() -> ""));
            case "windowed_cogroup" -> streams.put(name, cogroup(step, streams.get(of), streams.get(with(step))));
            case "suppress" -> {
                Suppressed.EagerBufferConfig limit = step.has("most")
                        ? Suppressed.BufferConfig.maxRecords(step.get("most").asLong())
                        : Suppressed.BufferConfig.maxBytes(Long.MAX_VALUE);
                tables.put(name, tables.get(of).suppress(Suppressed.untilTimeLimit(duration(step, "within"), limit)));
            }
            case "select_key" -> streams.put(name, streams.get(of).selectKey((key, value) -> firstLetter(value)));
            case "repartition" -> streams.put(name, streams.get(of).repartition());
            case "to_chosen" -> {
                step.get("topics").forEach(topic -> outputs.add(topic.asText()));
                streams.get(of).to((key, value, context) -> "out-" + (value == null ? "null" : firstLetter(value)));
            }
            default -> throw new IllegalArgumentException("there is no step " + step);
        }
    }

    private static String least(JsonNode step) {
        return step.get("least").asText();
    }

    private static String with(JsonNode step) {
        return step.get("with").asText();
    }

    private static String text(JsonNode node) {
        return node.isNull() ? null : node.asText();
    }

    private static Duration duration(JsonNode step, String field) {
        return Duration.ofMillis(step.get(field).asLong());
    }

    private static KStream<String, String> joinStreams(
            JsonNode step, KStream<String, String> left, KStream<String, String> right) {
        JoinWindows window = JoinWindows.ofTimeDifferenceAndGrace(duration(step, "after"), duration(step, "grace"))
                .before(duration(step, "before"));
        return switch (step.get("how").asText()) {
            case "inner" -> left.join(right, PAIR, window);
            case "left" -> left.leftJoin(right, PAIR, window);
            default -> left.outerJoin(right, PAIR, window);
        };
    }

    private static KStream<String, String> joinTable(
            JsonNode step, KStream<String, String> left, KTable<String, String> right) {
        Joined<String, String, String> joined = Joined.as(step.get("name").asText());
        if (step.has("grace")) {
            joined = joined.withGracePeriod(duration(step, "grace"));
        }
        return step.get("how").asText().equals("inner")
                ? left.join(right, PAIR, joined)
                : left.leftJoin(right, PAIR, joined);
    }

    private static <K> KTable<K, String> joinTables(JsonNode step, KTable<K, String> left, KTable<K, String> right) {
        return switch (step.get("how").asText()) {
            case "inner" -> left.join(right, PAIR);
            case "left" -> left.leftJoin(right, PAIR);
            default -> left.outerJoin(right, PAIR);
        };
    }

    private static KStream<String, String> joinGlobal(
            JsonNode step, KStream<String, String> left, GlobalKTable<String, String> right) {
        KeyValueMapper<String, String, String> key = (own, value) -> value == null ? null : firstLetter(value);
        return step.get("how").asText().equals("inner") ? left.join(right, key, PAIR) : left.leftJoin(right, key, PAIR);
    }

    /** The key that a value names: its first letter, none if that is a dash. */
    private static String firstLetter(String value) {
        return value.startsWith("-") ? null : value.substring(0, 1);
    }

    private static KTable<String, String> joinForeign(
            JsonNode step, KTable<String, String> left, KTable<String, String> right) {
        Function<String, String> key = Streams::firstLetter;
        Materialized<String, String, KeyValueStore<Bytes, byte[]>> kept = Materialized.as(step.get("name").asText());
        return step.get("how").asText().equals("inner")
                ? left.join(right, key, PAIR, kept)
                : left.leftJoin(right, key, PAIR, kept);
    }

    /** Aggregates of two streams by key and window, as the values KEY@START-END=AGGREGATE under the events' own keys. */
    private static KStream<String, String> cogroup(
            JsonNode step, KStream<String, String> left, KStream<String, String> right) {
        CogroupedKStream<String, String> both =
                left.groupByKey().cogroup(PUT_IN).cogroup(right.groupByKey(), OTHER_PUT_IN);
        Duration size = duration(step, "size");
        Duration grace = duration(step, "grace");
        KTable<Windowed<String>, String> aggregates = switch (step.get("window").asText()) {
            case "hopping" -> both.windowedBy(
                            TimeWindows.ofSizeAndGrace(size, grace).advanceBy(duration(step, "advance")))
                    .aggregate(() -> "");
            case "sliding" -> both.windowedBy(SlidingWindows.ofTimeDifferenceAndGrace(size, grace)).aggregate(() -> "");
            default -> both.windowedBy(SessionWindows.ofInactivityGapAndGrace(size, grace))
                    .aggregate(() -> "", (key, one, other) -> one.isEmpty() ? other : one + "|" + other);
        };
        return byWindow(aggregates);
    }

    private static KTable<Windowed<String>, Long> counts(JsonNode step, KStream<String, String> stream) {
        KGroupedStream<String, String> grouped = stream.groupByKey(Grouped.with(Serdes.String(), Serdes.String()));
        String name = step.get("name").asText();
        EmitStrategy emit =
                step.path("emit").asText().equals("close") ? EmitStrategy.onWindowClose() : EmitStrategy.onWindowUpdate();
        Duration grace = duration(step, "grace");
        KTable<Windowed<String>, Long> counts = switch (step.get("window").asText()) {
            case "hopping" -> grouped.windowedBy(
                            TimeWindows.ofSizeAndGrace(duration(step, "size"), grace).advanceBy(duration(step, "advance")))
                    .emitStrategy(emit)
                    .count(Materialized.<String, Long, WindowStore<Bytes, byte[]>>as(name).withRetention(RETENTION));
            case "sliding" -> grouped.windowedBy(SlidingWindows.ofTimeDifferenceAndGrace(duration(step, "size"), grace))
                    .emitStrategy(emit)
                    .count(Materialized.<String, Long, WindowStore<Bytes, byte[]>>as(name));
            default -> grouped.windowedBy(SessionWindows.ofInactivityGapAndGrace(duration(step, "size"), grace))
                    .emitStrategy(emit)
                    .count(Materialized.<String, Long, SessionStore<Bytes, byte[]>>as(name));
        };
        return step.has("within")
                ? counts.suppress(Suppressed.untilTimeLimit(
                        duration(step, "within"), Suppressed.BufferConfig.maxBytes(Long.MAX_VALUE)))
                : counts;
    }

    /** Results as the values KEY@START-END=RESULT under the events' own keys. */
    private static <V> KStream<String, String> byWindow(KTable<Windowed<String>, V> results) {
        return results.toStream()
                .map((windowed, result) -> KeyValue.pair(
                        windowed.key(),
                        String.format(
                                "%s@%d-%d=%s",
                                windowed.key(), windowed.window().start(), windowed.window().end(), result)));
    }
}
