package broker

// ListTransactions, key 66, versions 0–1. Deviations: there are no transactions.

import "github.com/twmb/franz-go/pkg/kmsg"

func listTransactionsAPI() api { return api{key: 66, min: 0, max: 1, handle: handleListTransactions} }

func handleListTransactions(_ *Broker, _ *request, reply func(kmsg.Response)) {
	resp := kmsg.NewPtrListTransactionsResponse()
	resp.TransactionStates = []kmsg.ListTransactionsResponseTransactionState{}
	reply(resp)
}
