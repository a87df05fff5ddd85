from app import App


def test_the_link_resets_the_password(inbox, address):
    app = App(inbox.smtp)
    app.forgot_password(address)

    [mail] = inbox.wait(to=address, timeout=10)

    assert mail["subject"] == "Reset your password"
    assert mail["from"] == {"name": "The Shop", "address": "noreply@shop.example"}
    [link] = [link["url"] for link in mail["links"] if link["text"] == "Reset it"]
    assert link.startswith("https://shop.example/reset?token=")
    assert app.open(link) == address
    assert app.open(link) is None


def test_each_request_is_one_mail(inbox, address):
    app = App(inbox.smtp)
    app.forgot_password(address)
    app.forgot_password(address)

    first, second = inbox.wait(to=address, subject="reset", count=2)

    assert first["links"] != second["links"]
