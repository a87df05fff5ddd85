// Go's net/smtp: ADDRESS PORT FILE MESSAGES kept|new. Prints how many seconds each message has taken.
package main

import (
	"fmt"
	"net"
	"net/smtp"
	"os"
	"strconv"
	"time"
)

const (
	from = "sender@bench.example"
	to   = "rcpt@bench.example"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func send(client *smtp.Client, message []byte) {
	check(client.Mail(from))
	check(client.Rcpt(to))
	content, err := client.Data()
	check(err)
	_, err = content.Write(message)
	check(err)
	check(content.Close())
}

func main() {
	address := net.JoinHostPort(os.Args[1], os.Args[2])
	message, err := os.ReadFile(os.Args[3])
	check(err)
	messages, err := strconv.Atoi(os.Args[4])
	check(err)
	var kept *smtp.Client
	if os.Args[5] == "kept" {
		kept, err = smtp.Dial(address)
		check(err)
		check(kept.Hello("client.example"))
		send(kept, message)
	}
	for n := 0; n < messages; n++ {
		begun := time.Now()
		if kept != nil {
			send(kept, message)
		} else {
			check(smtp.SendMail(address, nil, from, []string{to}, message))
		}
		fmt.Println(time.Since(begun).Seconds())
	}
	if kept != nil {
		check(kept.Quit())
	}
}
