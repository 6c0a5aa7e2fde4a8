import com.fasterxml.jackson.databind.JsonNode;
import java.nio.charset.StandardCharsets;
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
import java.util.function.BiFunction;
import java.util.function.Function;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.header.internals.RecordHeaders;
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
import org.apache.kafka.streams.kstream.Branched;
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
import org.apache.kafka.streams.kstream.Named;
import org.apache.kafka.streams.kstream.Reducer;
import org.apache.kafka.streams.kstream.SessionWindows;
import org.apache.kafka.streams.kstream.SlidingWindows;
import org.apache.kafka.streams.kstream.Suppressed;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.kstream.ValueJoiner;
import org.apache.kafka.streams.kstream.Windowed;
import org.apache.kafka.streams.processor.StateStore;
import org.apache.kafka.streams.processor.PunctuationType;
import org.apache.kafka.streams.processor.api.ContextualFixedKeyProcessor;
import org.apache.kafka.streams.processor.api.ContextualProcessor;
import org.apache.kafka.streams.processor.api.FixedKeyRecord;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.SessionStore;
import org.apache.kafka.streams.state.Stores;
import org.apache.kafka.streams.state.ValueAndTimestamp;
import org.apache.kafka.streams.state.VersionedKeyValueStore;
import org.apache.kafka.streams.state.VersionedRecord;
import org.apache.kafka.streams.state.WindowStore;
import org.apache.kafka.streams.test.TestRecord;

/**
 * Kafka Streams as the reference: a topology given as a list of steps, and what it emits for each record it is given.
 *
 * <p>All keys and values are text, tables are materialized. A step is {"step": KIND, "name": NAME, "of": NAME of the step before, ...}; joins add
 * "with" and "how". test_streams.py declares the same steps for Ottla.
 */
final class Streams {
    private static final String NUMBER = "number";

    private static final ValueJoiner<String, String, String> PAIR = (left, right) -> left + "+" + right;

    /** Which key of the other table a key names. */
    private static final Map<String, String> FOREIGN_OF = Map.of("a", "x", "b", "y", "x", "y", "y", "y");

    private static final Reducer<String> BAR = (one, other) -> one + "|" + other;
    private static final Aggregator<String, String, String> PUT_IN = (key, value, all) -> all + "+" + value;
    private static final Aggregator<String, String, String> PUT_IN_OR_FORGET =
            (key, value, all) -> value.startsWith("-") ? null : all + "+" + value;
    private static final Aggregator<String, String, String> OTHER_PUT_IN = (key, value, all) -> all + "-" + value;

    /**
     * Far more than size and grace: windows that are older than the retention would be forgotten while they are open. Not for
     * sessions, of which events would find those that are over.
     */
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
                        .pipeInput(new TestRecord<>(
                                text(record.get(1)), text(record.get(2)), numbered(emitted.size()), record.get(3).asLong()));
                List<Object> made = new ArrayList<>();
                for (String name : topology.outputs) {
                    TestOutputTopic<String, String> output = outputs.computeIfAbsent(
                            name, each -> driver.createOutputTopic(each, new StringDeserializer(), new StringDeserializer()));
                    for (TestRecord<String, String> out : output.readRecordsToList()) {
                        made.add(Arrays.asList(name, out.key(), out.value(), out.timestamp(), number(out.headers())));
                    }
                }
                emitted.add(made);
            }
            if (request.path("dropped").asBoolean()) {
                emitted.add(List.of(Arrays.asList("dropped", null, Long.toString(dropped(driver)), 0)));
            }
            if (request.hasNonNull("tables")) {
                List<Object> kept = new ArrayList<>();
                request.get("tables").forEach(name -> contents(driver, name.asText(), kept));
                emitted.add(kept);
            }
        } finally {
            Files.deleteIfExists(state.resolve("reference"));
            Files.deleteIfExists(state);
        }
        return emitted;
    }

    /** Adds what a store holds at last, in the form of records: a window's start is their time. */
    private static void contents(TopologyTestDriver driver, String name, List<Object> kept) {
        StateStore store = driver.getAllStateStores().get(name);
        if (store instanceof WindowStore) {
            try (KeyValueIterator<Windowed<String>, Object> all = driver.<String, Object>getWindowStore(name).all()) {
                all.forEachRemaining(entry -> kept.add(Arrays.asList(
                        name, entry.key.key(), value(entry.value), entry.key.window().start())));
            }
        } else if (store instanceof VersionedKeyValueStore) {
            VersionedKeyValueStore<String, String> versions = driver.getVersionedKeyValueStore(name);
            for (String key : List.of("a", "b", "c", "x", "y", "z")) {
                VersionedRecord<String> newest = versions.get(key);
                if (newest != null) {
                    kept.add(Arrays.asList(name, key, newest.value(), 0));
                }
            }
        } else {
            try (KeyValueIterator<String, String> all = driver.<String, String>getKeyValueStore(name).all()) {
                all.forEachRemaining(entry -> kept.add(Arrays.asList(name, entry.key, entry.value, 0)));
            }
        }
    }

    private static long dropped(TopologyTestDriver driver) {
        return driver.metrics().values().stream()
                .filter(metric -> metric.metricName().name().equals("dropped-records-total"))
                .mapToLong(metric -> Math.round((Double) metric.metricValue()))
                .sum();
    }

    private static String value(Object kept) {
        return kept instanceof ValueAndTimestamp<?> stamped ? (String) stamped.value() : (String) kept;
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
            case "stream_filter" -> streams.put(name, streams.get(of).filter((key, value) -> passes(step, value)));
            case "stream_map" -> streams.put(name, streams.get(of).mapValues(value -> "<" + value + ">"));
            case "flat_map" -> streams.put(
                    name,
                    streams.get(of).flatMapValues(value -> value == null ? List.of() : List.of(value, value + "'")));
            case "merge" -> streams.put(name, streams.get(of).merge(streams.get(with(step))));
            case "branch" -> {
                Map<String, KStream<String, String>> parts = streams.get(of)
                        .split(Named.as(name + "-"))
                        .branch((key, value) -> passes(step, value), Branched.as("large"))
                        .defaultBranch(Branched.as("rest"));
                streams.put(name, parts.get(name + "-large"));
                streams.put(name + "-rest", parts.get(name + "-rest"));
            }
            case "stateful" -> {
                builder.addStateStore(Stores.keyValueStoreBuilder(
                        Stores.persistentKeyValueStore(name), Serdes.String(), Serdes.String()));
                streams.put(name, streams.get(of).processValues(() -> new Differences(name), name));
            }
            case "punctuated" -> streams.put(
                    name, streams.get(of).process(() -> new Beats(duration(step, "every"))));
            case "reduce" -> tables.put(
                    name, streams.get(of).groupByKey().reduce(BAR, Materialized.as(name)));
            case "window_reduce" -> {
                KTable<Windowed<String>, String> results = reduced(step, streams.get(of));
                windowTables.put(
                        name,
                        step.get("emit").asText().equals("suppress")
                                ? results.suppress(
                                        Suppressed.untilWindowCloses(Suppressed.BufferConfig.unbounded()))
                                : results);
            }
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
                            .cogroup(step.path("forgets").asBoolean() ? PUT_IN_OR_FORGET : PUT_IN)
                            .cogroup(streams.get(with(step)).groupByKey(), OTHER_PUT_IN)
                            .aggregate(() -> ""));
            case "windowed_cogroup" -> streams.put(name, cogroup(step, streams.get(of), streams.get(with(step))));
            case "suppress" -> {
                Suppressed.EagerBufferConfig limit = step.has("most")
                        ? Suppressed.BufferConfig.maxRecords(step.get("most").asLong())
                        : Suppressed.BufferConfig.maxBytes(Long.MAX_VALUE);
                tables.put(name, tables.get(of).suppress(Suppressed.untilTimeLimit(duration(step, "within"), limit)));
            }
            case "select_key" -> streams.put(
                    name, streams.get(of).selectKey((key, value) -> value == null ? null : firstLetter(value)));
            case "repartition" -> streams.put(name, streams.get(of).repartition());
            case "to_chosen" -> {
                step.get("topics").forEach(topic -> outputs.add(topic.asText()));
                streams.get(of).to((key, value, context) -> "out-" + (value == null ? "null" : firstLetter(value)));
            }
            default -> throw new IllegalArgumentException("there is no step " + step);
        }
    }

    /** Headers that say which of the records this is. */
    private static Headers numbered(int number) {
        return new RecordHeaders().add(NUMBER, Integer.toString(number).getBytes(StandardCharsets.UTF_8));
    }

    /** Which record the headers are of, null if they are of none. */
    private static Integer number(Headers headers) {
        Header number = headers.lastHeader(NUMBER);
        return number == null ? null : Integer.valueOf(new String(number.value(), StandardCharsets.UTF_8));
    }

    private static String least(JsonNode step) {
        return step.get("least").asText();
    }

    private static boolean passes(JsonNode step, String value) {
        return value != null && value.compareTo(least(step)) >= 0;
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
        BiFunction<String, String, String> key = step.path("on").asText().equals("key")
                ? (own, value) -> FOREIGN_OF.get(own)
                : (own, value) -> firstLetter(value);
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
        String name = step.get("name").asText();
        Duration size = duration(step, "size");
        Duration grace = duration(step, "grace");
        KTable<Windowed<String>, String> aggregates = switch (step.get("window").asText()) {
            case "hopping" -> both.windowedBy(
                            TimeWindows.ofSizeAndGrace(size, grace).advanceBy(duration(step, "advance")))
                    .aggregate(() -> "", Materialized.<String, String, WindowStore<Bytes, byte[]>>as(name).withRetention(RETENTION));
            case "sliding" -> both.windowedBy(SlidingWindows.ofTimeDifferenceAndGrace(size, grace))
                    .aggregate(() -> "", Materialized.<String, String, WindowStore<Bytes, byte[]>>as(name).withRetention(RETENTION));
            default -> both.windowedBy(SessionWindows.ofInactivityGapAndGrace(size, grace))
                    .aggregate(
                            () -> "",
                            (key, one, other) -> one.isEmpty() ? other : one + "|" + other,
                            Materialized.<String, String, SessionStore<Bytes, byte[]>>as(name));
        };
        return byWindow(aggregates);
    }

    private static KTable<Windowed<String>, String> reduced(JsonNode step, KStream<String, String> stream) {
        KGroupedStream<String, String> grouped = stream.groupByKey(Grouped.with(Serdes.String(), Serdes.String()));
        String name = step.get("name").asText();
        Duration size = duration(step, "size");
        Duration grace = duration(step, "grace");
        return switch (step.get("window").asText()) {
            case "hopping" -> grouped.windowedBy(
                            TimeWindows.ofSizeAndGrace(size, grace).advanceBy(duration(step, "advance")))
                    .emitStrategy(emit(step))
                    .reduce(BAR, Materialized.<String, String, WindowStore<Bytes, byte[]>>as(name).withRetention(RETENTION).withValueSerde(Serdes.String()));
            case "sliding" -> grouped.windowedBy(SlidingWindows.ofTimeDifferenceAndGrace(size, grace))
                    .emitStrategy(emit(step))
                    .reduce(BAR, Materialized.<String, String, WindowStore<Bytes, byte[]>>as(name).withRetention(RETENTION).withValueSerde(Serdes.String()));
            default -> grouped.windowedBy(SessionWindows.ofInactivityGapAndGrace(size, grace))
                    .emitStrategy(emit(step))
                    .reduce(BAR, Materialized.<String, String, SessionStore<Bytes, byte[]>>as(name).withValueSerde(Serdes.String()));
        };
    }

    private static EmitStrategy emit(JsonNode step) {
        return step.path("emit").asText().equals("close") ? EmitStrategy.onWindowClose() : EmitStrategy.onWindowUpdate();
    }

    private static KTable<Windowed<String>, Long> counts(JsonNode step, KStream<String, String> stream) {
        KGroupedStream<String, String> grouped = stream.groupByKey(Grouped.with(Serdes.String(), Serdes.String()));
        String name = step.get("name").asText();
        EmitStrategy emit = emit(step);
        Duration grace = duration(step, "grace");
        KTable<Windowed<String>, Long> counts = switch (step.get("window").asText()) {
            case "hopping" -> grouped.windowedBy(
                            TimeWindows.ofSizeAndGrace(duration(step, "size"), grace).advanceBy(duration(step, "advance")))
                    .emitStrategy(emit)
                    .count(Materialized.<String, Long, WindowStore<Bytes, byte[]>>as(name).withRetention(RETENTION));
            case "sliding" -> grouped.windowedBy(SlidingWindows.ofTimeDifferenceAndGrace(duration(step, "size"), grace))
                    .emitStrategy(emit)
                    .count(Materialized.<String, Long, WindowStore<Bytes, byte[]>>as(name).withRetention(RETENTION));
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

    /** Tells each value with that of its key before, by a store of its own; a null value forgets the key. */
    private static final class Differences extends ContextualFixedKeyProcessor<String, String, String> {
        private final String store;

        private Differences(String store) {
            this.store = store;
        }

        @Override
        public void process(FixedKeyRecord<String, String> record) {
            KeyValueStore<String, String> kept = context().getStateStore(store);
            if (record.key() == null) {
                return;
            }
            String before = kept.get(record.key());
            kept.put(record.key(), record.value());
            context().forward(record.withValue(before + ">" + record.value()));
        }
    }

    /** Tells the time at each beat of stream time, and nothing of the records. */
    private static final class Beats extends ContextualProcessor<String, String, String, String> {
        private final Duration every;

        private Beats(Duration every) {
            this.every = every;
        }

        @Override
        public void init(ProcessorContext<String, String> context) {
            super.init(context);
            context.schedule(
                    every,
                    PunctuationType.STREAM_TIME,
                    time -> context.forward(new Record<>("beat", "at " + time, time)));
        }

        @Override
        public void process(Record<String, String> record) {}
    }
}
