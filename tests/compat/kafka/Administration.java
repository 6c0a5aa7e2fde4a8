import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.GroupListing;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionInfo;
import org.apache.kafka.common.config.ConfigResource;

/** The verbs of administration. */
final class Administration {
    private final Map<String, Admin> admins = new HashMap<>();

    Administration(Map<String, Program.Verb> verbs) {
        verbs.put("create_topic", this::createTopic);
        verbs.put("delete_topic", request -> admin(request).deleteTopics(List.of(topic(request))).all().get());
        verbs.put("list_topics", request -> admin(request).listTopics().names().get());
        verbs.put("describe_topic", this::describeTopic);
        verbs.put("grow_topic", request -> admin(request)
                .createPartitions(Map.of(topic(request), NewPartitions.increaseTo(request.get("partitions").asInt())))
                .all().get());
        verbs.put("topic_config", this::topicConfig);
        verbs.put("set_topic_config", this::setTopicConfig);
        verbs.put("list_groups", request -> admin(request).listGroups().all().get().stream()
                .map(GroupListing::groupId).toList());
        verbs.put("describe_group", this::describeGroup);
        verbs.put("group_offsets", this::groupOffsets);
        verbs.put("delete_group", request ->
                admin(request).deleteConsumerGroups(List.of(request.get("group").asText())).all().get());
        verbs.put("log_offsets", this::logOffsets);
        verbs.put("delete_records", request -> admin(request)
                .deleteRecords(Map.of(
                        new TopicPartition(topic(request), request.get("partition").asInt()),
                        RecordsToDelete.beforeOffset(request.get("before").asLong())))
                .all().get());
    }

    private Admin admin(JsonNode request) {
        return admins.computeIfAbsent(
                request.get("broker").asText(), address -> Admin.create(Map.of("bootstrap.servers", address)));
    }

    private static String topic(JsonNode request) {
        return request.get("topic").asText();
    }

    @SuppressWarnings("unchecked")
    private Object createTopic(JsonNode request) throws Exception {
        NewTopic topic = new NewTopic(topic(request), request.get("partitions").asInt(), (short) 1);
        topic.configs(Program.JSON.convertValue(request.get("configs"), Map.class));
        return admin(request).createTopics(List.of(topic)).all().get();
    }

    private Object describeTopic(JsonNode request) throws Exception {
        List<Map<String, Object>> partitions = new ArrayList<>();
        for (TopicPartitionInfo partition :
                admin(request).describeTopics(List.of(topic(request))).allTopicNames().get().get(topic(request)).partitions()) {
            partitions.add(Map.of(
                    "partition", partition.partition(),
                    "leader", partition.leader().id(),
                    "replicas", partition.replicas().stream().map(node -> node.id()).toList(),
                    "isr", partition.isr().stream().map(node -> node.id()).toList()));
        }
        return partitions;
    }

    private Object topicConfig(JsonNode request) throws Exception {
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic(request));
        Map<String, String> values = new HashMap<>();
        for (ConfigEntry entry : admin(request).describeConfigs(List.of(resource)).all().get().get(resource).entries()) {
            values.put(entry.name(), entry.value());
        }
        return values;
    }

    private Object setTopicConfig(JsonNode request) throws Exception {
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic(request));
        ConfigEntry entry = new ConfigEntry(request.get("name").asText(), request.get("value").asText());
        return admin(request)
                .incrementalAlterConfigs(
                        Map.of(resource, List.of(new AlterConfigOp(entry, AlterConfigOp.OpType.SET))))
                .all().get();
    }

    private Object describeGroup(JsonNode request) throws Exception {
        String group = request.get("group").asText();
        ConsumerGroupDescription description =
                admin(request).describeConsumerGroups(List.of(group)).all().get().get(group);
        return Map.of("state", description.groupState().toString(), "members", description.members().size());
    }

    private Object groupOffsets(JsonNode request) throws Exception {
        String group = request.get("group").asText();
        List<List<Object>> offsets = new ArrayList<>();
        Map<TopicPartition, OffsetAndMetadata> committed =
                admin(request).listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata(group).get();
        committed.forEach((partition, offset) ->
                offsets.add(List.of(partition.topic(), partition.partition(), offset.offset())));
        return offsets;
    }

    private Object logOffsets(JsonNode request) throws Exception {
        TopicPartition partition = new TopicPartition(topic(request), request.get("partition").asInt());
        Admin admin = admin(request);
        return List.of(
                admin.listOffsets(Map.of(partition, OffsetSpec.earliest())).partitionResult(partition).get().offset(),
                admin.listOffsets(Map.of(partition, OffsetSpec.latest())).partitionResult(partition).get().offset());
    }
}
