package objectstore

import (
	"fmt"
	"net/url"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Open opens the store a URL names:
//
//	file:///dir                                    a local directory, created if missing
//	s3://bucket/prefix?endpoint=http://host:port&path_style=true&region=…&create=true
//
// getenv supplies AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN,
// AWS_REGION and AWS_ENDPOINT_URL. Open does not call the store, except with
// create=true. Unknown parameters are errors, so that a typo is not ignored.
func Open(rawURL string, getenv func(string) string) (Objects, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, fmt.Errorf("reading the object store URL %q: %w; write file:///dir or s3://bucket/prefix", rawURL, err)
	}
	switch u.Scheme {
	case "file":
		if u.Host != "" && u.Host != "localhost" || !filepath.IsAbs(u.Path) || u.RawQuery != "" {
			return nil, fmt.Errorf("object store URL %q needs three slashes, an absolute directory and no parameters, as in file:///var/lib/streamkeeper/objects", rawURL)
		}
		return OpenFile(vfs.Default, filepath.FromSlash(u.Path))
	case "s3":
		return openS3URL(u, getenv)
	}
	return nil, fmt.Errorf("object store URL %q has scheme %q: use file:///dir or s3://bucket/prefix?endpoint=http://host:port&path_style=true", rawURL, u.Scheme)
}
