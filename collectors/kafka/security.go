package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// Security is how a cluster is reached: encrypted or not, and as whom. The zero value is neither.
type Security struct {
	TLS  TLS  `yaml:"tls"`
	SASL SASL `yaml:"sasl"`
}

// TLS is the encryption of connections. Naming any of its files enables it, too.
type TLS struct {
	Enabled    bool   `yaml:"enabled"`
	CA         string `yaml:"ca"`          // PEM file of who signed the brokers' certificates; "" means the system's
	Cert       string `yaml:"cert"`        // PEM file of our own certificate, where brokers ask for one
	Key        string `yaml:"key"`         // and of its key
	ServerName string `yaml:"server_name"` // in the brokers' certificates, where it is not their host name
}

// SASL is who we are. Files are read anew for each connection, so that a changed password or token is taken.
type SASL struct {
	Mechanism    string `yaml:"mechanism"` // PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER; "" means none
	User         string `yaml:"user"`
	Password     string `yaml:"password"`
	PasswordFile string `yaml:"password_file"`
	TokenFile    string `yaml:"token_file"` // of OAUTHBEARER
}

var mechanisms = []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"}

// Validate says what contradicts itself, without reading any file: by key and reason.
func (s Security) Validate(bad func(key, format string, args ...any)) {
	if (s.TLS.Cert == "") != (s.TLS.Key == "") {
		bad("tls.cert", "a certificate and its key come together")
	}
	a := s.SASL
	secrets := a.Password != "" && a.PasswordFile != ""
	switch strings.ToUpper(a.Mechanism) {
	case "":
		if a != (SASL{}) {
			bad("sasl.mechanism", "is missing: want one of %s", strings.Join(mechanisms, ", "))
		}
	case "OAUTHBEARER":
		if a.TokenFile == "" {
			bad("sasl.token_file", "OAUTHBEARER needs the file that holds the token")
		}
	case "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512":
		if a.User == "" || a.Password == "" && a.PasswordFile == "" || secrets {
			bad("sasl.user", "%s needs a user, and a password or password_file", a.Mechanism)
		}
	default:
		bad("sasl.mechanism", "%q: want one of %s", a.Mechanism, strings.Join(mechanisms, ", "))
	}
}

// Options are what a client needs to reach the cluster so. Errors name the key and the file that is at fault.
func (s Security) Options() ([]kgo.Opt, error) {
	var opts []kgo.Opt
	encryption, err := s.TLS.config()
	if err != nil {
		return nil, err
	}
	if encryption != nil {
		opts = append(opts, kgo.DialTLSConfig(encryption))
	}
	identity, err := s.SASL.mechanism()
	if err != nil {
		return nil, err
	}
	if identity != nil {
		opts = append(opts, kgo.SASL(identity))
	}
	return opts, nil
}

// config is what a connection is encrypted with; nil when it is not.
func (t TLS) config() (*tls.Config, error) {
	if t == (TLS{}) {
		return nil, nil
	}
	c := &tls.Config{ServerName: t.ServerName, MinVersion: tls.VersionTLS12}
	if t.CA != "" {
		pem, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, fmt.Errorf("tls.ca: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls.ca: %s holds no certificate in PEM form", t.CA)
		}
	}
	if t.Cert != "" {
		pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, fmt.Errorf("tls.cert: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// mechanism is how we say who we are; nil when we do not.
func (a SASL) mechanism() (sasl.Mechanism, error) {
	if a.Mechanism == "" {
		return nil, nil
	}
	secret := func() (string, error) {
		if a.PasswordFile == "" {
			return a.Password, nil
		}
		return readSecret("sasl.password_file", a.PasswordFile)
	}
	asScram := func(context.Context) (scram.Auth, error) {
		pass, err := secret()
		return scram.Auth{User: a.User, Pass: pass}, err
	}
	switch strings.ToUpper(a.Mechanism) {
	case "PLAIN":
		return plain.Plain(func(context.Context) (plain.Auth, error) {
			pass, err := secret()
			return plain.Auth{User: a.User, Pass: pass}, err
		}), nil
	case "SCRAM-SHA-256":
		return scram.Sha256(asScram), nil
	case "SCRAM-SHA-512":
		return scram.Sha512(asScram), nil
	case "OAUTHBEARER":
		return oauth.Oauth(func(context.Context) (oauth.Auth, error) {
			token, err := readSecret("sasl.token_file", a.TokenFile)
			return oauth.Auth{Token: token}, err
		}), nil
	}
	return nil, fmt.Errorf("sasl.mechanism %q: want one of %s", a.Mechanism, strings.Join(mechanisms, ", "))
}

func readSecret(key, file string) (string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("%s: %w", key, err)
	}
	if text := strings.TrimRight(string(b), "\r\n"); text != "" {
		return text, nil
	}
	return "", fmt.Errorf("%s: %s is empty", key, file)
}
