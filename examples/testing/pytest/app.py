"""The program under test: it mails a link with which a password can be reset."""

import secrets
import smtplib
from email.message import EmailMessage


class App:
    def __init__(self, smtp):
        self.smtp = smtp
        self.tokens = {}

    def forgot_password(self, address):
        token = secrets.token_urlsafe()
        self.tokens[token] = address
        mail = EmailMessage()
        mail["From"] = "The Shop <noreply@shop.example>"
        mail["To"] = address
        mail["Subject"] = "Reset your password"
        mail.set_content(f"Your link: https://shop.example/reset?token={token}&from=mail")
        mail.add_alternative(
            f'<p><a href="https://shop.example/reset?token={token}&amp;from=mail">Reset it</a>', subtype="html"
        )
        host, _, port = self.smtp.rpartition(":")
        with smtplib.SMTP(host.strip("[]"), int(port)) as server:
            server.send_message(mail)

    def open(self, url):
        """Whose password a link resets."""
        token = url.partition("token=")[2].partition("&")[0]
        return self.tokens.pop(token, None)
