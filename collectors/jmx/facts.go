package jmx

import "strconv"

// fact is what is read: a metric of the exporter, under the name that stock rules and ours give it.
type fact string

const (
	copies      fact = "kafka_server_brokertopicmetrics_remotecopyrequests_total"
	copyErrors  fact = "kafka_server_brokertopicmetrics_remotecopyerrors_total"
	copiedBytes fact = "kafka_server_brokertopicmetrics_remotecopybytes_total"
	fetches     fact = "kafka_server_brokertopicmetrics_remotefetchrequests_total"
	fetchErrors fact = "kafka_server_brokertopicmetrics_remotefetcherrors_total"
	waiting     fact = "kafka_server_brokertopicmetrics_remotecopylagbytes"

	copierIdle fact = "kafka_log_remote_remotelogmanager_remotelogmanagertasksavgidlepercent" // a ratio, whatever it is called
	reads      fact = "kafka_log_remote_remotelogmanager_remotelogreaderfetchrateandtimems_count"
	readMean   fact = "kafka_log_remote_remotelogmanager_remotelogreaderfetchrateandtimems_mean" // of all since the start
	readTimes  fact = "kafka_log_remote_remotelogmanager_remotelogreaderfetchrateandtimems"      // by quantile

	throttleTime fact = "kafka_server_quota_throttle_time" // mean milliseconds of a request
	byteRate     fact = "kafka_server_quota_byte_rate"
)

var facts = []fact{
	copies, copyErrors, copiedBytes, fetches, fetchErrors, waiting, copierIdle, reads, readMean, readTimes, throttleTime, byteRate,
}

// selector selects the fact's series of a cluster.
func (f fact) selector(cluster string) string {
	s := string(f) + "{cluster=" + strconv.Quote(cluster)
	if f == readTimes {
		s += `,quantile="0.95"`
	}
	return s + "}"
}
