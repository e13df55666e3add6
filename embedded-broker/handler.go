package broker

import (
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// request is one request on its way through the broker. Handlers must not keep it after they replied.
type request struct {
	conn       *conn
	key        int16
	version    int16
	clientID   string       // never nil: "" when the client sent none
	received   time.Time    // by Options.Now
	begun      time.Time    // when the handler was called, by the machine's clock
	lease      *lease       // for more memory than the frame itself took
	body       kmsg.Request // decoded, version set; nil for raw handlers
	raw        []byte       // the body's bytes for raw handlers; owned by the request until it is answered
	patient    bool         // who replies may wait for the client to take the answer
	downgraded bool         // an ApiVersions version we do not know: answer version 0 with UNSUPPORTED_VERSION
}

// handler answers one request. It runs on the connection's reading goroutine, so what it does before it returns is in
// the order of arrival; it may reply later from any goroutine, exactly once. A nil response answers nothing on the wire
// (acks=0). The response's version is set by the connection.
type handler func(b *Broker, r *request, reply func(kmsg.Response))

// api is one row of the table of what this broker speaks.
type api struct {
	key      int16
	min, max int16 // versions announced and served
	handle   handler
	raw      bool // the handler has its own codec: body is nil and raw is set
	maxFrame int  // largest frame; 0 = defaultMaxFrame
}
