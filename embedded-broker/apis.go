package broker

// allAPIs lists what this broker speaks, by key. Each row lies in the API's own file. Transactions (24–28) are not announced
// yet.
func allAPIs() []api {
	return append([]api{
		produceAPI(),
		fetchAPI(),
		listOffsetsAPI(),
		metadataAPI(),
		saslHandshakeAPI(),
		apiVersionsAPI(),
		createTopicsAPI(),
		deleteTopicsAPI(),
		deleteRecordsAPI(),
		initProducerIDAPI(),
		offsetForLeaderEpochAPI(),
		describeACLsAPI(),
		describeConfigsAPI(),
		alterConfigsAPI(),
		describeLogDirsAPI(),
		createPartitionsAPI(),
		incrementalAlterConfigsAPI(),
		listPartitionReassignmentsAPI(),
		describeClientQuotasAPI(),
		describeUserSCRAMCredentialsAPI(),
		describeQuorumAPI(),
		describeClusterAPI(),
		listTransactionsAPI(),
		getTelemetrySubscriptionsAPI(),
		pushTelemetryAPI(),
		listConfigResourcesAPI(),
		describeTopicPartitionsAPI(),
	}, groupAPIs()...)
}
