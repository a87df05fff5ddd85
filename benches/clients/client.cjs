// nodemailer: ADDRESS PORT FILE MESSAGES kept|new. Prints how many seconds each message has taken.
const fs = require("fs");
const nodemailer = require("nodemailer");

const [host, port, file, messages, habit] = process.argv.slice(2);
const pooled = habit === "kept" ? { pool: true, maxConnections: 1, maxMessages: Infinity } : {};
const transport = nodemailer.createTransport({ host, port: Number(port), name: "client.example", ignoreTLS: true, ...pooled });
const envelope = { from: "sender@bench.example", to: "rcpt@bench.example" };
const raw = fs.readFileSync(file);

(async () => {
    if (habit === "kept") await transport.sendMail({ envelope, raw });
    for (let n = 0; n < Number(messages); n++) {
        const begun = process.hrtime.bigint();
        await transport.sendMail({ envelope, raw });
        console.log(Number(process.hrtime.bigint() - begun) / 1e9);
    }
    transport.close();
})().catch((error) => {
    console.error(error);
    process.exit(1);
});
