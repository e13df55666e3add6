package kafka

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/streamkeeper-io/streamkeeper"
)

// selfSigned is a certificate of 127.0.0.1, and the file that says to trust it.
func selfSigned(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	about := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, about, about, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

type seenBrokers struct{ n int }

func (*seenBrokers) Samples(context.Context, []streamkeeper.Sample) error { return nil }
func (*seenBrokers) Events(context.Context, []streamkeeper.Event, streamkeeper.Watermark) error {
	return nil
}

func (s *seenBrokers) Inventory(_ context.Context, inv streamkeeper.Inventory) error {
	s.n = len(inv.Brokers)
	return nil
}

// A cluster is read over TLS as who the configuration says; a wrong password reads nothing.
func TestSecurity(t *testing.T) {
	certificate, ca := selfSigned(t)
	cluster, err := kfake.NewCluster(
		kfake.NumBrokers(1), kfake.SeedTopics(1, "orders"), kfake.EnableSASL(), kfake.TLS(&tls.Config{Certificates: []tls.Certificate{certificate}}),
		kfake.Superuser("PLAIN", "reader", "secret"), kfake.Superuser("SCRAM-SHA-256", "reader", "secret"), kfake.Superuser("SCRAM-SHA-512", "reader", "secret"),
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		sasl SASL
		fail string
	}{
		{"plain", SASL{Mechanism: "PLAIN", User: "reader", Password: "secret"}, ""},
		{"scram of 256 bits", SASL{Mechanism: "SCRAM-SHA-256", User: "reader", PasswordFile: password}, ""},
		{"scram of 512 bits", SASL{Mechanism: "scram-sha-512", User: "reader", PasswordFile: password}, ""},
		{"a wrong password", SASL{Mechanism: "PLAIN", User: "reader", Password: "guess"}, "asking for metadata"},
		{"no such file", SASL{Mechanism: "PLAIN", User: "reader", PasswordFile: password + "2"}, "password_file"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := Security{TLS: TLS{CA: ca}, SASL: test.sasl}
			s.Validate(func(key, format string, args ...any) { t.Errorf("%s: "+format, append([]any{key}, args...)...) })
			c, err := New(Options{Cluster: "c", Brokers: cluster.ListenAddrs(), Security: s})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			var seen seenBrokers
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			err = c.Collect(ctx, time.Now(), &seen)
			switch {
			case test.fail == "" && (err != nil || seen.n != 1):
				t.Errorf("%d brokers seen: %v", seen.n, err)
			case test.fail != "" && (err == nil || !strings.Contains(err.Error(), test.fail)):
				t.Errorf("told %v, want it to name %s", err, test.fail)
			}
		})
	}
}

func TestSecurityThatContradictsItself(t *testing.T) {
	for key, s := range map[string]Security{
		"tls.cert":        {TLS: TLS{Cert: "a.pem"}},
		"sasl.mechanism":  {SASL: SASL{User: "a"}},
		"sasl.user":       {SASL: SASL{Mechanism: "PLAIN", User: "a", Password: "b", PasswordFile: "c"}},
		"sasl.token_file": {SASL: SASL{Mechanism: "OAUTHBEARER"}},
	} {
		told := ""
		s.Validate(func(key, _ string, _ ...any) { told += key })
		if told != key {
			t.Errorf("told of %q, want %q", told, key)
		}
	}
	if _, err := New(Options{Cluster: "c", Brokers: []string{"h:1"}, Security: Security{TLS: TLS{CA: "/nowhere"}}}); err == nil || !strings.Contains(err.Error(), "tls.ca") {
		t.Errorf("a missing file is told as %v", err)
	}
}
