import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.ProcessorSupplier;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;
import org.apache.kafka.streams.state.WindowStore;
import org.apache.kafka.streams.state.WindowStoreIterator;

/**
 * Says when one conversation has several messages at risk within an hour: an alert, once an hour at most.
 *
 * <p>It reads Mimamori's labels, committed ones alone, and writes alerts, in transactions with its state and its
 * offsets: each alert is written exactly once, whatever is killed. The labels of a conversation lie in one partition,
 * in order, where the platform sends messages under the conversation's id. Those of others say nothing here: a label
 * whose key is no conversation's stands alone. Copy this file: it needs kafka-streams, rocksdbjni and jackson-databind.
 *
 * <p>Settings, from the environment: KAFKA_BOOTSTRAP (localhost:9092); KAFKA_CONFIG, a JSON object of further settings
 * of Kafka Streams and its clients; LABELS_TOPIC, ALERTS_TOPIC (create it first); APPLICATION_ID, which is the group,
 * and begins the names of its transactions and of its own topics; WINDOW_S (3600) and AT_LEAST (3) labels at risk;
 * STATE_DIR. One line for each thing that goes wrong; never a key, since a platform's ids are its own.
 */
public final class Escalations {
    /** What is read of a label: see schemas/json/label.json. Newer versions have more fields, never other ones. */
    @JsonIgnoreProperties(ignoreUnknown = true)
    record Label(
        @JsonProperty(required = true) String id,
        @JsonProperty(required = true) String task,
        @JsonProperty(required = true) String verdict,
        @JsonProperty(value = "screened_at", required = true) String screenedAt) {}

    /** What is written, under the label's key. `labels` are ids, oldest first; the last one made the alert. */
    record Alert(
        String id,
        String task,
        List<String> labels,
        @JsonProperty("window_s") long windowS,
        @JsonProperty("raised_at") String raisedAt) {}

    private static final ObjectMapper JSON = new ObjectMapper();
    private static final Set<String> VERDICTS = Set.of("clear", "at_risk", "uncertain");
    private static final String AT_RISK = "at-risk";
    private static final String ALERTED = "alerted";

    /** Counts the labels at risk of a conversation. Both stores forget what is older than two windows. */
    private static final class Counting implements Processor<String, byte[], String, String> {
        private final long window;
        private final int atLeast;
        private ProcessorContext<String, String> context;
        private WindowStore<String, String> atRisk; // (task, conversation) and a millisecond: the ids, one a line
        private WindowStore<String, String> alerted; // the same: the id of the alert

        Counting(Duration window, int atLeast) {
            this.window = window.toMillis();
            this.atLeast = atLeast;
        }

        @Override
        public void init(ProcessorContext<String, String> given) {
            context = given;
            atRisk = given.getStateStore(AT_RISK);
            alerted = given.getStateStore(ALERTED);
        }

        @Override
        public void process(Record<String, byte[]> record) {
            Label label;
            long at;
            byte[] value = record.value();
            if (value != null && value.length > 5 && value[0] == 0) { // behind a schema registry's frame
                if (value[5] != '{') {
                    var refusal = new IllegalStateException(); // passed over, nobody would be alerted any more
                    complain("labels are in Avro: read them with KafkaAvroDeserializer", refusal);
                    throw refusal;
                }
                value = Arrays.copyOfRange(value, 5, value.length);
            }
            try {
                label = JSON.readValue(value, Label.class);
                at = Instant.parse(label.screenedAt()).toEpochMilli();
                if (record.key() == null || !VERDICTS.contains(label.verdict())) {
                    throw new IllegalArgumentException();
                }
            } catch (IOException | RuntimeException error) {
                // One record must not end the alerts of all others, and no message of an error may quote it.
                var place = context.recordMetadata().orElseThrow();
                complain("no label: " + place.topic() + " " + place.partition() + " at " + place.offset(), error);
                return;
            }
            if (label.verdict().equals("at_risk")) {
                count(record, label, at);
            }
        }

        private void count(Record<String, byte[]> record, Label label, long at) {
            String key = label.task() + "\n" + record.key();
            if (within(atRisk, key, at).contains(label.id())) {
                return; // a label may come twice, under the same id: workers that lost their place read again
            }
            String before = atRisk.fetch(key, at); // of the same millisecond: labels of one batch are
            atRisk.put(key, before == null ? label.id() : before + "\n" + label.id(), at);
            List<String> labels = within(atRisk, key, at);
            if (labels.size() >= atLeast && within(alerted, key, at).isEmpty()) {
                var alert = new Alert("alert:" + label.id(), label.task(), labels, window / 1000, label.screenedAt());
                alerted.put(key, alert.id(), at);
                context.forward(new Record<>(record.key(), written(alert), at));
            }
        }

        private List<String> within(WindowStore<String, String> store, String key, long at) {
            List<String> found = new ArrayList<>();
            try (WindowStoreIterator<String> entries = store.fetch(key, at - window, at)) {
                while (entries.hasNext()) {
                    KeyValue<Long, String> entry = entries.next();
                    found.addAll(List.of(entry.value.split("\n")));
                }
            }
            return found;
        }

        private static String written(Alert alert) {
            try {
                return JSON.writeValueAsString(alert);
            } catch (JsonProcessingException error) {
                throw new IllegalStateException(error);
            }
        }
    }

    private static Topology topology(String labels, String alerts, Duration window, int atLeast) {
        ProcessorSupplier<String, byte[], String, String> counting = new ProcessorSupplier<>() {
            @Override
            public Processor<String, byte[], String, String> get() {
                return new Counting(window, atLeast);
            }

            @Override
            public Set<StoreBuilder<?>> stores() {
                return Set.of(store(AT_RISK, window), store(ALERTED, window));
            }
        };
        var builder = new StreamsBuilder();
        builder.stream(labels, Consumed.with(Serdes.String(), Serdes.ByteArray()))
            .process(counting)
            .to(alerts, Produced.with(Serdes.String(), Serdes.String()));
        return builder.build();
    }

    private static StoreBuilder<WindowStore<String, String>> store(String name, Duration window) {
        var kept = Stores.persistentWindowStore(name, window.multipliedBy(2), window, false);
        return Stores.windowStoreBuilder(kept, Serdes.String(), Serdes.String());
    }

    private static void complain(String what, Throwable error) {
        System.err.println("escalations: " + what + " (" + error.getClass().getSimpleName() + ")");
    }

    private static String setting(String name, String otherwise) {
        return System.getenv().getOrDefault(name, otherwise);
    }

    /** Runs until SIGTERM. Ends with status 1 where it cannot go on: start it again. */
    public static void main(String[] arguments) throws IOException, InterruptedException {
        var settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, setting("APPLICATION_ID", "mimamori-escalations"));
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, setting("KAFKA_BOOTSTRAP", "localhost:9092"));
        settings.put(StreamsConfig.STATE_DIR_CONFIG, setting("STATE_DIR", "escalations-state"));
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        settings.put(StreamsConfig.consumerPrefix("auto.offset.reset"), "earliest");
        settings.putAll(JSON.readValue(setting("KAFKA_CONFIG", "{}"), new TypeReference<Map<String, String>>() {}));
        var topology = topology(
            setting("LABELS_TOPIC", "mimamori.labels"),
            setting("ALERTS_TOPIC", "mimamori.conversation-alerts"),
            Duration.ofSeconds(Long.parseLong(setting("WINDOW_S", "3600"))),
            Integer.parseInt(setting("AT_LEAST", "3")));
        try (var streams = new KafkaStreams(topology, settings)) {
            if (ran(streams) == KafkaStreams.State.ERROR) {
                System.exit(1);
            }
        }
    }

    /** Runs it until it ends, by SIGTERM or by itself, and tells in which state. */
    private static KafkaStreams.State ran(KafkaStreams streams) throws InterruptedException {
        var ended = new CountDownLatch(1);
        streams.setUncaughtExceptionHandler(error -> {
            complain("it cannot go on", error);
            return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        streams.setStateListener((now, before) -> {
            if (now == KafkaStreams.State.ERROR || now == KafkaStreams.State.NOT_RUNNING) {
                ended.countDown();
            }
        });
        Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(20))));
        streams.start();
        ended.await();
        return streams.state();
    }
}
