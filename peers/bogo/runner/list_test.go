package runner

// Added to the copy of BoringSSL's runner that Bartizan's tests build: writes down what there is to run.

import (
	"encoding/json"
	"os"
	"testing"
)

type listedCase struct {
	Name    string `json:"name"`
	Adapted bool   `json:"adapted"`
}

// TestList makes all cases as the runner does, runs none (the caller names none), and writes those of DTLS to the file
// that BOGO_LIST names.
func TestList(t *testing.T) {
	main()
	listed := []listedCase{}
	for i := range testCases {
		test := testCases[i]
		if test.protocol == dtls {
			listed = append(listed, listedCase{Name: test.name, Adapted: adapt(&test)})
		}
	}
	encoded, err := json.Marshal(listed)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(os.Getenv("BOGO_LIST"), encoded, 0o644); err != nil {
		t.Fatal(err)
	}
}
