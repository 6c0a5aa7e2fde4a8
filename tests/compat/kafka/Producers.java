import com.fasterxml.jackson.databind.JsonNode;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Future;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** The verbs of producers. */
final class Producers {
    private final Map<String, KafkaProducer<byte[], byte[]>> producers = new HashMap<>();
    private final Consumers consumers;

    Producers(Consumers consumers, Map<String, Program.Verb> verbs) {
        this.consumers = consumers;
        verbs.put("open_producer", this::open);
        verbs.put("send", this::send);
        verbs.put("begin", request -> {
            producer(request).beginTransaction();
            return null;
        });
        verbs.put("commit", request -> {
            producer(request).commitTransaction();
            return null;
        });
        verbs.put("abort", request -> {
            producer(request).abortTransaction();
            return null;
        });
        verbs.put("send_offsets", this::sendOffsets);
        verbs.put("close_producer", request -> {
            producers.remove(request.get("handle").asText()).close(Duration.ofSeconds(10));
            return null;
        });
    }

    private KafkaProducer<byte[], byte[]> producer(JsonNode request) {
        return producers.get(request.get("handle").asText());
    }

    private Object open(JsonNode request) {
        Map<String, Object> settings = new HashMap<>();
        settings.put("bootstrap.servers", request.get("broker").asText());
        settings.put("compression.type", request.get("compression").asText());
        settings.put("enable.idempotence", request.get("idempotent").asBoolean());
        settings.put("acks", request.get("acks").asText());
        if (!request.get("transactional_id").isNull()) {
            settings.put("transactional.id", request.get("transactional_id").asText());
        }
        KafkaProducer<byte[], byte[]> producer =
                new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer());
        producers.put(request.get("handle").asText(), producer);
        if (!request.get("transactional_id").isNull()) {
            producer.initTransactions();
        }
        return null;
    }

    private Object send(JsonNode request) throws Exception {
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        for (JsonNode record : request.get("records")) {
            ProducerRecord<byte[], byte[]> produced = new ProducerRecord<>(
                    record.get("topic").asText(),
                    record.get("partition").isNull() ? null : record.get("partition").asInt(),
                    record.get("timestamp").isNull() ? null : record.get("timestamp").asLong(),
                    bytes(record.get("key")),
                    bytes(record.get("value")));
            for (JsonNode header : record.get("headers")) {
                produced.headers().add(header.get(0).asText(), bytes(header.get(1)));
            }
            sent.add(producer(request).send(produced));
        }
        producer(request).flush();
        List<List<Long>> stored = new ArrayList<>();
        for (Future<RecordMetadata> future : sent) {
            RecordMetadata metadata = future.get();
            stored.add(List.of((long) metadata.partition(), metadata.offset()));
        }
        return stored;
    }

    private Object sendOffsets(JsonNode request) {
        Consumers.Reader reader = consumers.reader(request.get("consumer").asText());
        producer(request).sendOffsetsToTransaction(reader.positions, reader.consumer.groupMetadata());
        return null;
    }

    static byte[] bytes(JsonNode text) {
        return text.isNull() ? null : text.asText().getBytes(StandardCharsets.UTF_8);
    }
}
