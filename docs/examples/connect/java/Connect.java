import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.PropertyNamingStrategies;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Sends messages to Mimamori, and reads what comes back. Java 17 or newer, kafka-clients and jackson-databind.
 *
 *   java -cp 'libs/*:.' Connect send < messages.jsonl     one message a line: {"id": …, "text": …}
 *   java -cp 'libs/*:.' Connect read                      until Ctrl-C or SIGTERM
 */
public class Connect {
    static final String KAFKA = System.getenv().getOrDefault("KAFKA_BOOTSTRAP", "localhost:9092");
    static final String PREFIX = System.getenv().getOrDefault("TOPIC_PREFIX", "mimamori.");
    static final String GROUP = System.getenv().getOrDefault("KAFKA_GROUP", "platform");

    // Of each event, the fields that this program uses. There are more, and there will be more: pass over them.
    static final ObjectMapper JSON = new ObjectMapper()
            .setPropertyNamingStrategy(PropertyNamingStrategies.SNAKE_CASE)
            .configure(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES, false);

    /** `conversationId` may be null. */
    record Message(String id, String conversationId) {}

    /** `verdict` is clear, at_risk or uncertain. */
    record Label(String id, String messageId, String verdict) {}

    record Origin(String topic, int partition, long offset) {}

    record DeadLetter(String id, Origin origin, String reason) {}

    /** `finding` is at_risk, not_at_risk or unsure; `severity` is null unless it is at_risk. */
    record ReviewDecision(String id, String messageId, String finding, String severity) {}

    /** Sends each line as a message. Ends with status 1 if Kafka has not taken all of them. */
    static void send() throws IOException {
        var refused = new ConcurrentLinkedQueue<String>();
        // A record with a key goes where murmur2 of the key says: leave the partitioner as it is.
        Map<String, Object> settings = Map.of("bootstrap.servers", KAFKA, "enable.idempotence", true);
        try (var producer = new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer());
                var lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8))) {
            for (String line; (line = lines.readLine()) != null; ) {
                Message message = JSON.readValue(line, Message.class);
                String key = message.conversationId() != null ? message.conversationId() : message.id();
                producer.send(new ProducerRecord<>(PREFIX + "messages", key, line), (taken, error) -> {
                    if (error != null) refused.add(error.toString());
                });
            }
            producer.flush();
        }
        if (!refused.isEmpty()) {
            System.err.println(refused.size() + " not sent: " + refused.peek());
            System.exit(1);
        }
    }

    /** Calls on… for each event, once for each id as long as this process lives. */
    static void read() throws IOException {
        Map<String, Object> settings = Map.of(
                "bootstrap.servers", KAFKA,
                "group.id", GROUP,
                "isolation.level", "read_committed", // otherwise you read outcomes that were taken back
                "auto.offset.reset", "earliest",
                "enable.auto.commit", false); // an event counts as read when it was acted on, not before
        Set<String> seen = new HashSet<>(); // better: a unique key in your database, in the transaction of what you do
        var consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer());
        var reading = Thread.currentThread();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            consumer.wakeup();
            try {
                reading.join(10_000);
            } catch (InterruptedException error) {
                Thread.currentThread().interrupt();
            }
        }));
        try (consumer) {
            consumer.subscribe(List.of(PREFIX + "labels", PREFIX + "dead-letters", PREFIX + "review-decisions"));
            while (true) {
                for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofSeconds(1))) {
                    if (record.value() != null) handle(record, seen);
                }
                consumer.commitSync();
            }
        } catch (WakeupException stopping) {
            return; // what was read since the last commit is read again, under the same ids
        }
    }

    static void handle(ConsumerRecord<String, String> record, Set<String> seen) throws IOException {
        String topic = record.topic().substring(PREFIX.length());
        switch (topic) {
            case "labels" -> {
                Label label = JSON.readValue(record.value(), Label.class);
                if (seen.add(label.id())) onLabel(label);
            }
            case "dead-letters" -> {
                DeadLetter letter = JSON.readValue(record.value(), DeadLetter.class);
                if (seen.add(letter.id())) onDeadLetter(letter);
            }
            default -> {
                ReviewDecision decision = JSON.readValue(record.value(), ReviewDecision.class);
                if (seen.add(decision.id())) onDecision(decision);
            }
        }
    }

    static void onLabel(Label label) {
        System.out.println("label " + label.messageId() + " " + label.verdict());
    }

    static void onDeadLetter(DeadLetter letter) {
        Origin origin = letter.origin();
        System.out.println("dead-letter " + origin.partition() + ":" + origin.offset() + " " + letter.reason());
    }

    static void onDecision(ReviewDecision decision) {
        String severity = decision.severity() == null ? "-" : decision.severity();
        System.out.println("decision " + decision.messageId() + " " + decision.finding() + " " + severity);
    }

    public static void main(String[] given) throws IOException {
        switch (given.length == 1 ? given[0] : "") {
            case "send" -> send();
            case "read" -> read();
            default -> System.exit(2);
        }
    }
}
