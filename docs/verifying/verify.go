// Package webhooks verifies the signature of a webhook's request; it needs nothing but the standard library.
package webhooks

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const tolerance = 5 * time.Minute

// ErrRefused says that a request has no right and recent signature.
var ErrRefused = errors.New("webhooks: no right and recent signature")

// Verify returns nil for a request that was signed with this secret within the last five minutes. The body is
// what io.ReadAll(request.Body) returned, before anything parsed it.
func Verify(header http.Header, body []byte, secret string) error {
	id, timestamp := header.Get("webhook-id"), header.Get("webhook-timestamp")
	seconds, err := strconv.ParseUint(timestamp, 10, 40)
	if id == "" || err != nil {
		return ErrRefused
	}
	if age := time.Since(time.Unix(int64(seconds), 0)); age > tolerance || age < -tolerance {
		return ErrRefused
	}
	key, err := keyOf(secret)
	if err != nil {
		return err
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + timestamp + "."))
	mac.Write(body)
	expected := mac.Sum(nil)
	// While a secret is replaced there are several, separated by spaces.
	for _, signature := range strings.Fields(header.Get("webhook-signature")) {
		version, value, _ := strings.Cut(signature, ",")
		given, err := base64.StdEncoding.DecodeString(value)
		if version == "v1" && err == nil && hmac.Equal(given, expected) {
			return nil
		}
	}
	return ErrRefused
}

func keyOf(secret string) ([]byte, error) {
	key := []byte(secret)
	if strings.HasPrefix(secret, "whsec_") {
		decoded, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
		if err != nil {
			return nil, err
		}
		key = decoded
	}
	if len(key) == 0 {
		return nil, errors.New("webhooks: the secret is empty") // anybody could sign with it
	}
	return key, nil
}
