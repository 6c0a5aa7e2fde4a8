import com.fasterxml.jackson.databind.JsonNode;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** The verbs of consumers. */
final class Consumers {
    /** A consumer with the offsets after the last records that it returned. */
    static final class Reader {
        final KafkaConsumer<byte[], byte[]> consumer;
        final Map<TopicPartition, OffsetAndMetadata> positions = new HashMap<>();

        Reader(KafkaConsumer<byte[], byte[]> consumer) {
            this.consumer = consumer;
        }
    }

    private final Map<String, Reader> readers = new HashMap<>();

    Consumers(Map<String, Program.Verb> verbs) {
        verbs.put("open_consumer", this::open);
        verbs.put("poll", this::poll);
        verbs.put("assignment", this::assignment);
        verbs.put("commit_offsets", request -> {
            Reader reader = reader(request.get("handle").asText());
            reader.consumer.commitSync(reader.positions);
            return null;
        });
        verbs.put("close_consumer", request -> {
            readers.remove(request.get("handle").asText()).consumer.close();
            return null;
        });
    }

    Reader reader(String handle) {
        return readers.get(handle);
    }

    private Object open(JsonNode request) throws Exception {
        Map<String, Object> settings = new HashMap<>();
        settings.put("bootstrap.servers", request.get("broker").asText());
        settings.put("group.id", request.get("group").asText());
        settings.put("group.protocol", request.get("protocol").asText());
        settings.put("auto.offset.reset", "earliest");
        settings.put("enable.auto.commit", false);
        settings.put("isolation.level", request.get("read_committed").asBoolean() ? "read_committed" : "read_uncommitted");
        settings.put("max.poll.records", request.get("limit").asInt());
        settings.put("fetch.max.wait.ms", 100);
        if (request.get("protocol").asText().equals("classic")) {
            settings.put("heartbeat.interval.ms", 300);
        }
        Reader reader = new Reader(
                new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer()));
        reader.consumer.subscribe(List.of(Program.JSON.convertValue(request.get("topics"), String[].class)));
        readers.put(request.get("handle").asText(), reader);
        return null;
    }

    private Object poll(JsonNode request) {
        Reader reader = reader(request.get("handle").asText());
        List<Map<String, Object>> records = new ArrayList<>();
        for (ConsumerRecord<byte[], byte[]> record :
                reader.consumer.poll(Duration.ofMillis(request.get("timeout_ms").asLong()))) {
            TopicPartition partition = new TopicPartition(record.topic(), record.partition());
            reader.positions.put(partition, new OffsetAndMetadata(record.offset() + 1));
            records.add(describe(record));
        }
        return records;
    }

    private static Map<String, Object> describe(ConsumerRecord<byte[], byte[]> record) {
        List<List<String>> headers = new ArrayList<>();
        for (Header header : record.headers()) {
            List<String> pair = new ArrayList<>();
            pair.add(header.key());
            pair.add(text(header.value()));
            headers.add(pair);
        }
        Map<String, Object> described = new LinkedHashMap<>();
        described.put("topic", record.topic());
        described.put("partition", record.partition());
        described.put("offset", record.offset());
        described.put("timestamp", record.timestamp());
        described.put("key", text(record.key()));
        described.put("value", text(record.value()));
        described.put("headers", headers);
        return described;
    }

    private Object assignment(JsonNode request) {
        List<List<Object>> assigned = new ArrayList<>();
        for (TopicPartition partition : reader(request.get("handle").asText()).consumer.assignment()) {
            assigned.add(List.of(partition.topic(), partition.partition()));
        }
        return assigned;
    }

    private static String text(byte[] bytes) {
        return bytes == null ? null : new String(bytes, StandardCharsets.UTF_8);
    }
}
