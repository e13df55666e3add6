package objectstore

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/minio/minio-go/v7"
)

// s3Error turns what the S3 client returned into an *Error with its class.
func s3Error(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	// The client answers a cancelled context with ctx.Err(): the cause says why.
	if cause := context.Cause(ctx); cause != nil {
		return &Error{Class: Classify(cause), Err: cause}
	}
	e, ok := errors.AsType[minio.ErrorResponse](err)
	if !ok || e.StatusCode == 0 && e.Code == "" {
		return &Error{Class: Classify(err), Err: err}
	}
	if e.StatusCode == http.StatusPreconditionFailed || e.Code == minio.PreconditionFailed {
		return &Error{Class: ClassOther, Status: e.StatusCode, Code: e.Code, Err: ErrExists}
	}
	return &Error{Class: s3Class(e.StatusCode, e.Code), Status: e.StatusCode, Code: e.Code, Err: s3Advice(e)}
}

// s3Class maps an HTTP status and S3 error code to a class.
func s3Class(status int, code string) Class {
	switch code {
	case "SlowDown", "SlowDownRead", "SlowDownWrite", "RequestLimitExceeded", "TooManyRequests", "Throttling", "ThrottlingException", "RequestThrottled", "BandwidthLimitExceeded":
		return ClassThrottled
	case "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "RequestTimeTooSkewed", "AuthorizationHeaderMalformed", "AccountProblem", "AllAccessDisabled":
		return ClassDenied
	case "RequestTimeout", "XMinioServerNotInitialized":
		return ClassDown
	}
	if strings.HasPrefix(code, "KMS") { // KMS.DisabledException and its kin come with a 400
		return ClassDenied
	}
	switch {
	case status == http.StatusTooManyRequests:
		return ClassThrottled
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return ClassDenied
	case status >= 500:
		return ClassDown
	case status == http.StatusNotFound && code != minio.NoSuchBucket:
		return ClassNotFound
	}
	return ClassOther
}

// s3Advice adds what to do where the code says it.
func s3Advice(e minio.ErrorResponse) error {
	do := ""
	switch e.Code {
	case minio.NoSuchBucket:
		do = "create the bucket, or add create=true to the object store URL"
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken":
		do = "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN"
	case "AccessDenied":
		do = "allow s3:GetObject, s3:PutObject and s3:DeleteObject on the prefix"
	case "RequestTimeTooSkewed":
		do = "set this machine's clock"
	case "AuthorizationHeaderMalformed":
		do = "set region=… in the object store URL"
	default:
		return e
	}
	return fmt.Errorf("%w; %s", e, do)
}

func isNoSuchKey(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Class == ClassNotFound
}
