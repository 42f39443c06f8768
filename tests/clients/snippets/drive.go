// Answers with what verify.go says of each case.
package main

import (
	"encoding/json"
	"log"
	"net/http"
	"os"

	"example.com/receiver/webhooks"
)

type given struct {
	Headers map[string]string
	Body    []byte
	Secret  string
}

func main() {
	cases := map[string]given{}
	if err := json.NewDecoder(os.Stdin).Decode(&cases); err != nil {
		log.Fatal(err)
	}
	answers := map[string]bool{}
	for name, each := range cases {
		header := http.Header{}
		for key, value := range each.Headers {
			header.Set(key, value)
		}
		answers[name] = webhooks.Verify(header, each.Body, each.Secret) == nil
	}
	if err := json.NewEncoder(os.Stdout).Encode(answers); err != nil {
		log.Fatal(err)
	}
}
