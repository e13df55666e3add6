import java.io.IOException;
import java.io.InputStream;
import java.net.URI;
import java.time.Duration;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import org.apache.kafka.server.log.remote.storage.LogSegmentData;
import org.apache.kafka.server.log.remote.storage.RemoteLogSegmentMetadata;
import org.apache.kafka.server.log.remote.storage.RemoteResourceNotFoundException;
import org.apache.kafka.server.log.remote.storage.RemoteStorageException;
import org.apache.kafka.server.log.remote.storage.RemoteStorageManager;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.core.exception.SdkException;
import software.amazon.awssdk.core.sync.RequestBody;
import software.amazon.awssdk.http.urlconnection.UrlConnectionHttpClient;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.s3.S3Client;
import software.amazon.awssdk.services.s3.S3Configuration;
import software.amazon.awssdk.services.s3.model.Delete;
import software.amazon.awssdk.services.s3.model.NoSuchKeyException;
import software.amazon.awssdk.services.s3.model.ObjectIdentifier;

/**
 * Tiered storage (KIP-405) on S3: one object for a segment and one for each of its indexes, through the AWS SDK with its
 * own retries, as the plugins that people run do it. Nothing is cached. Keys: endpoint, bucket, access.key, secret.key.
 */
public class S3Tier implements RemoteStorageManager {
    private S3Client s3;
    private String bucket;

    @Override
    public void configure(Map<String, ?> configs) {
        bucket = (String) configs.get("bucket");
        s3 = S3Client.builder()
            .endpointOverride(URI.create((String) configs.get("endpoint")))
            .region(Region.US_EAST_1)
            .forcePathStyle(true)
            .serviceConfiguration(S3Configuration.builder().chunkedEncodingEnabled(false).build())
            .credentialsProvider(StaticCredentialsProvider.create(
                AwsBasicCredentials.create((String) configs.get("access.key"), (String) configs.get("secret.key"))))
            .httpClientBuilder(UrlConnectionHttpClient.builder()
                .connectionTimeout(Duration.ofSeconds(2)).socketTimeout(Duration.ofSeconds(30)))
            .build();
    }

    @Override
    public Optional<RemoteLogSegmentMetadata.CustomMetadata> copyLogSegmentData(RemoteLogSegmentMetadata segment, LogSegmentData data)
            throws RemoteStorageException {
        try {
            put(key(segment, "log"), RequestBody.fromFile(data.logSegment()));
            put(key(segment, IndexType.OFFSET), RequestBody.fromFile(data.offsetIndex()));
            put(key(segment, IndexType.TIMESTAMP), RequestBody.fromFile(data.timeIndex()));
            put(key(segment, IndexType.PRODUCER_SNAPSHOT), RequestBody.fromFile(data.producerSnapshotIndex()));
            if (data.transactionIndex().isPresent()) {
                put(key(segment, IndexType.TRANSACTION), RequestBody.fromFile(data.transactionIndex().get()));
            }
            put(key(segment, IndexType.LEADER_EPOCH), RequestBody.fromByteBuffer(data.leaderEpochIndex()));
            return Optional.empty();
        } catch (SdkException e) {
            throw new RemoteStorageException("Failed to upload " + key(segment, "log"), e);
        }
    }

    @Override
    public InputStream fetchLogSegment(RemoteLogSegmentMetadata segment, int from) throws RemoteStorageException {
        return get(key(segment, "log"), "bytes=" + from + "-");
    }

    @Override
    public InputStream fetchLogSegment(RemoteLogSegmentMetadata segment, int from, int through) throws RemoteStorageException {
        return get(key(segment, "log"), "bytes=" + from + "-" + through);
    }

    @Override
    public InputStream fetchIndex(RemoteLogSegmentMetadata segment, IndexType type) throws RemoteStorageException {
        return get(key(segment, type), null);
    }

    @Override
    public void deleteLogSegmentData(RemoteLogSegmentMetadata segment) throws RemoteStorageException {
        List<ObjectIdentifier> all = new java.util.ArrayList<>();
        all.add(ObjectIdentifier.builder().key(key(segment, "log")).build());
        for (IndexType type : IndexType.values()) {
            all.add(ObjectIdentifier.builder().key(key(segment, type)).build());
        }
        try {
            s3.deleteObjects(r -> r.bucket(bucket).delete(Delete.builder().objects(all).build()));
        } catch (SdkException e) {
            throw new RemoteStorageException("Failed to delete " + key(segment, "log"), e);
        }
    }

    @Override
    public void close() throws IOException {
        if (s3 != null) {
            s3.close();
        }
    }

    private void put(String key, RequestBody body) {
        s3.putObject(r -> r.bucket(bucket).key(key), body);
    }

    private InputStream get(String key, String range) throws RemoteStorageException {
        try {
            return s3.getObject(r -> r.bucket(bucket).key(key).range(range));
        } catch (NoSuchKeyException e) {
            throw new RemoteResourceNotFoundException("No object " + key, e);
        } catch (SdkException e) {
            throw new RemoteStorageException("Failed to read " + key, e);
        }
    }

    private static String key(RemoteLogSegmentMetadata segment, IndexType type) {
        return key(segment, type.name().toLowerCase(Locale.ROOT));
    }

    private static String key(RemoteLogSegmentMetadata segment, String suffix) {
        return segment.topicIdPartition().topicPartition() + "/" + segment.remoteLogSegmentId().id() + "." + suffix;
    }
}
