# frozen_string_literal: true

RSpec.shared_examples "messages" do |draft|
  sizes = [0, 1, 125, 126, 65_535, 65_536, 1_048_576]
  # Em-websocket keeps only the last two fragments there.
  many_fragments = draft.masking == :leading ? { fixed: true } : {}

  sizes.each do |size|
    it "echoes a text of #{size} bytes" do
      serve
      client = connect(draft)
      client.text("x" * size)

      expect(client.read_text).to eq("x" * size)
    end
  end

  it "hands text over as UTF-8, not frozen" do
    serve { |ws| ws.onmessage { |*args| note(:message, [*args, args[0].frozen?], ws) } }
    connect(draft).text("Grüße, 世界 🎉")
    text, frozen = next_event(:message).value

    expect([text, text.encoding, text.valid_encoding?, text.class, frozen])
      .to eq(["Grüße, 世界 🎉", Encoding::UTF_8, true, String, false])
  end

  it "echoes text of two, three and four bytes a character" do
    serve
    client = connect(draft)
    text = "äöü€世界🎉" * 3000
    client.text(text)

    expect(client.read_text).to eq(text)
  end

  it "echoes messages in order, many in one segment" do
    serve
    client = connect(draft)
    texts = (1..300).map { |number| "message #{number}" }
    client.write(texts.map { |text| client.encode(:text, text) }.join)

    expect(texts.map { client.read_text }).to eq(texts)
  end

  it "echoes messages that come one byte at a time" do
    serve
    client = connect(draft)
    client.write(client.encode(:text, "a") + client.encode(:text, "é" * 80), cut: 1)

    expect([client.read_text, client.read_text]).to eq(["a", "é" * 80])
  end

  it "answers the messages before a close in the same segment" do
    serve
    client = connect(draft)
    client.write(%w[a b].map { |text| client.encode(:text, text) }.join + client.encode_close)

    expect([client.read_text, client.read_text, client.read_frame.type]).to eq(["a", "b", :close])
    expect(client).to be_eof
    expect(Array.new(4) { next_event.name }).to eq(%i[open message message close])
  end

  it "sends in the order of the calls" do
    serve do |ws|
      ws.onopen { 50.times { |number| ws.send(number.to_s) } }
    end
    client = connect(draft)

    expect((0...50).map { client.read_text }).to eq((0...50).map(&:to_s))
  end

  it "needs no block for what arrives" do
    serve { |ws| ws.onopen { ws.send(+"open") } }
    client = connect(draft)
    client.text("nobody listens")
    client.ping if draft.pingable?
    client.binary("nobody") if draft.binary?
    client.close

    expect(client.read_text).to eq("open")
    client.read_frame until client.eof?
  end

  if draft.binary?
    sizes.each do |size|
      it "echoes #{size} binary bytes" do
        serve
        client = connect(draft)
        bytes = Random.new(size).bytes(size)
        client.binary(bytes)

        expect(client.read(:binary)).to eq(bytes)
      end
    end

    it "hands bytes over as ASCII-8BIT, to onbinary alone" do
      serve { |ws| record(ws) }
      connect(draft).binary("\xFF\x00\xE9")
      expect(next_event(:open)).to be_truthy
      bytes = next_event(:binary).value

      expect([bytes, bytes.encoding, bytes.frozen?])
        .to eq(["\xFF\x00\xE9".b, Encoding::BINARY, false])
    end

    it "puts two fragments together" do
      serve
      client = connect(draft)
      client.fragments(:text, %w[Hel lo])
      client.fragments(:binary, ["\xFF", "\xFE"])

      expect([client.read_text, client.read(:binary)]).to eq(["Hello", "\xFF\xFE".b])
    end

    it "puts many fragments together, empty ones too", **many_fragments do
      serve
      client = connect(draft)
      letters = ("a".."z").to_a
      client.fragments(:text, ["", *letters, "", ""])

      expect(client.read_text).to eq(letters.join)
    end

    it "puts a character together that was cut in two" do
      serve
      client = connect(draft)
      client.fragments(:text, ["\xE4\xB8", "\x96"])

      expect(client.read_text).to eq("世")
    end

    it "answers a ping between two fragments" do
      serve
      client = connect(draft)
      client.text("a", last: false)
      client.ping("now")
      client.write(client.encode(:continuation, "b"))

      # A pong may overtake what the application says, and be overtaken by it.
      frames = Array.new(2) { client.read_frame }
      expect(frames.map { |frame| [frame.type, frame.payload] })
        .to contain_exactly([:pong, "now"], [:text, "ab"])
    end
  else
    it "has no binary messages", :fixed do
      serve { |ws| record(ws) }
      connect(draft)
      ws = open_connection

      expect { server.call { ws.send_binary("x") } }.to raise_error(EM::WebSocket::WebSocketError)
    end
  end
end
