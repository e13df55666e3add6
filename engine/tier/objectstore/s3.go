package objectstore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// S3Config says where a bucket is and who we are there.
type S3Config struct {
	Bucket, Prefix         string
	Endpoint               string // host:port
	TLS                    bool
	PathStyle              bool
	Region                 string
	AccessKey, SecretKey   string
	SessionToken           string
	Create                 bool // make the bucket if it is missing
	MaxConnectionsPerStore int  // default 64
}

// S3 keeps objects in a bucket. It makes exactly one request per call.
type S3 struct {
	core   minio.Core
	bucket string
	prefix string // empty or ending in a slash
}

// parseS3 reads an s3:// URL; every error says what to write instead.
func parseS3(u *url.URL, getenv func(string) string) (S3Config, error) {
	c := S3Config{Bucket: u.Host, Prefix: strings.Trim(u.Path, "/"), TLS: true, Endpoint: "s3.amazonaws.com"}
	if c.Bucket == "" {
		return c, fmt.Errorf("object store URL %q names no bucket: write s3://bucket/prefix", u.Redacted())
	}
	if u.User != nil {
		return c, errors.New("object store URL carries credentials: put them in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead")
	}
	c.Region = firstOf(getenv("AWS_REGION"), getenv("AWS_DEFAULT_REGION"))
	endpoint := getenv("AWS_ENDPOINT_URL")
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return c, fmt.Errorf("reading the parameters of object store URL %q: %w", u.Redacted(), err)
	}
	for key, values := range q {
		value := values[len(values)-1]
		switch key {
		case "endpoint":
			endpoint = value
		case "region":
			c.Region = value
		case "path_style":
			c.PathStyle, err = strconv.ParseBool(value)
		case "create":
			c.Create, err = strconv.ParseBool(value)
		default:
			return c, fmt.Errorf("object store URL has unknown parameter %q: known are endpoint, path_style, region and create", key)
		}
		if err != nil {
			return c, fmt.Errorf("object store URL parameter %s=%s: write true or false", key, value)
		}
	}
	if endpoint != "" {
		e, err := url.Parse(endpoint)
		if err != nil || e.Host == "" || e.Scheme != "http" && e.Scheme != "https" || strings.Trim(e.Path, "/") != "" {
			return c, fmt.Errorf("object store endpoint %q: write http://host:port or https://host:port", endpoint)
		}
		c.Endpoint, c.TLS = e.Host, e.Scheme == "https"
		if c.Region == "" {
			c.Region = "us-east-1" // what S3-compatible servers assume; saves a request
		}
	}
	c.AccessKey, c.SecretKey, c.SessionToken = getenv("AWS_ACCESS_KEY_ID"), getenv("AWS_SECRET_ACCESS_KEY"), getenv("AWS_SESSION_TOKEN")
	if c.AccessKey == "" || c.SecretKey == "" {
		return c, fmt.Errorf("object store s3://%s needs credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", c.Bucket)
	}
	return c, nil
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

func openS3URL(u *url.URL, getenv func(string) string) (Objects, error) {
	c, err := parseS3(u, getenv)
	if err != nil {
		return nil, err
	}
	s, err := OpenS3(c)
	if err != nil {
		return nil, err
	}
	if c.Create {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.makeBucket(ctx, c.Region); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// OpenS3 returns the store; it makes no request.
func OpenS3(c S3Config) (*S3, error) {
	lookup := minio.BucketLookupAuto
	if c.PathStyle {
		lookup = minio.BucketLookupPath
	}
	conns := c.MaxConnectionsPerStore
	if conns <= 0 {
		conns = 64
	}
	client, err := minio.New(c.Endpoint, &minio.Options{
		Creds:        credentials.NewStaticV4(c.AccessKey, c.SecretKey, c.SessionToken),
		Secure:       c.TLS,
		Region:       c.Region,
		BucketLookup: lookup,
		MaxRetries:   1, // the tier retries, so that each attempt is counted
		Transport:    newTransport(conns),
	})
	if err != nil {
		return nil, fmt.Errorf("configuring the S3 client for %s: %w", c.Endpoint, err)
	}
	prefix := strings.Trim(c.Prefix, "/")
	if prefix != "" {
		prefix += "/"
	}
	return &S3{core: minio.Core{Client: client}, bucket: c.Bucket, prefix: prefix}, nil
}

// newTransport bounds what a caller's deadline does not see: idle connections
// and dials that linger after their request was given up.
func newTransport(conns int) *http.Transport {
	dialer := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second}
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dialer.DialContext,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:   5 * time.Second,
		MaxIdleConns:          conns,
		MaxIdleConnsPerHost:   conns,
		MaxConnsPerHost:       2 * conns,
		IdleConnTimeout:       time.Minute,
		ExpectContinueTimeout: time.Second,
		DisableCompression:    true,
	}
}

func (s *S3) makeBucket(ctx context.Context, region string) error {
	err := s.core.MakeBucket(ctx, s.bucket, minio.MakeBucketOptions{Region: region})
	if e, ok := errors.AsType[minio.ErrorResponse](err); ok && (e.Code == minio.BucketAlreadyOwnedByYou || e.Code == minio.BucketAlreadyExists) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("creating bucket %s: %w", s.bucket, s3Error(ctx, err))
	}
	return nil
}

// Put implements Objects with a single PUT request of known size.
func (s *S3) Put(ctx context.Context, name string, body io.ReadSeeker, size int64, o PutOptions) error {
	opts := minio.PutObjectOptions{ContentType: "application/octet-stream", DisableMultipart: true}
	if o.IfAbsent {
		opts.SetMatchETagExcept("*")
	}
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return &Error{Class: ClassOther, Err: fmt.Errorf("rewinding the body of %s: %w", name, err)}
	}
	_, err := s.core.Client.PutObject(ctx, s.bucket, s.prefix+name, struct{ io.ReadSeeker }{body}, size, opts)
	if err != nil {
		return fmt.Errorf("putting object %s: %w", name, s3Error(ctx, err))
	}
	return nil
}

// Get implements Objects.
func (s *S3) Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	var opts minio.GetObjectOptions
	if err := opts.SetRange(offset, offset+length-1); err != nil {
		return nil, &Error{Class: ClassOther, Err: fmt.Errorf("reading object %s: %w", name, err)}
	}
	r, info, _, err := s.core.GetObject(ctx, s.bucket, s.prefix+name, opts)
	if err != nil {
		return nil, fmt.Errorf("getting object %s: %w", name, s3Error(ctx, err))
	}
	if info.Size != length { // of the answer; a server that ignores Range sends it all
		r.Close()
		return nil, &Error{Class: ClassOther, Status: http.StatusOK, Err: fmt.Errorf("getting object %s: asked for %d bytes from %d, the store sends %d", name, length, offset, info.Size)}
	}
	return &section{r: r, c: r, left: length}, nil
}

// Head implements Objects.
func (s *S3) Head(ctx context.Context, name string) (int64, error) {
	info, err := s.core.StatObject(ctx, s.bucket, s.prefix+name, minio.StatObjectOptions{})
	if err != nil {
		return 0, fmt.Errorf("looking for object %s: %w", name, s3Error(ctx, err))
	}
	return info.Size, nil
}

// Delete implements Objects.
func (s *S3) Delete(ctx context.Context, name string) error {
	err := s.core.RemoveObject(ctx, s.bucket, s.prefix+name, minio.RemoveObjectOptions{})
	if err = s3Error(ctx, err); err != nil && !isNoSuchKey(err) {
		return fmt.Errorf("deleting object %s: %w", name, err)
	}
	return nil
}

// List implements Lister.
func (s *S3) List(ctx context.Context, prefix string, fn func(name string, size int64) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for info := range s.core.ListObjectsIter(ctx, s.bucket, minio.ListObjectsOptions{Prefix: s.prefix + prefix, Recursive: true}) {
		if info.Err != nil {
			return fmt.Errorf("listing objects: %w", s3Error(ctx, info.Err))
		}
		if err := fn(strings.TrimPrefix(info.Key, s.prefix), info.Size); err != nil {
			return err
		}
	}
	return nil
}
