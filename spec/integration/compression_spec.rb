# frozen_string_literal: true

require "zlib"

RSpec.describe EventMachine::WebSocket, "with :compression", :extension do
  offer = { "Sec-WebSocket-Extensions" => "permessage-deflate; client_max_window_bits" }
  rsv1 = 0x40

  # A client's half of RFC 7692, over zlib.
  def deflate(text)
    stream = Zlib::Deflate.new(6, -15)
    stream.deflate(text, Zlib::SYNC_FLUSH).delete_suffix("\x00\x00\xFF\xFF".b)
  end

  def inflate(payload)
    (@inflater ||= Zlib::Inflate.new(-15)).inflate(payload + "\x00\x00\xFF\xFF".b)
  end

  # The next message, and whether it came compressed.
  def read_message(client)
    frame = client.read_frame
    return [frame.payload, false] if frame.reserved.zero?

    [inflate(frame.payload), true]
  end

  def offering(draft = Drafts::RFC, **options)
    offer = options.delete(:offer) || { "Sec-WebSocket-Extensions" => "permessage-deflate" }
    connect(draft, headers: draft.headers.merge(offer), **options)
  end

  def extensions(client) = client.response[:lines].grep(/\ASec-WebSocket-Extensions: /)

  { "in the background" => false, "on EventMachine's own sockets" => true }.each do |way, attached|
    describe(way, attached: attached) do
      Drafts::ALL.last(3).each do |draft|
        it "takes and sends compressed messages in #{draft}" do
          serve(compression: true)
          client = offering(draft)
          expect(extensions(client)).to eq(["Sec-WebSocket-Extensions: permessage-deflate"])
          client.write(client.encode(:text, deflate("grüße " * 1000), reserved: rsv1))

          expect(read_message(client)).to eq([("grüße " * 1000).b, true])
          expect(next_event(:open) && next_event(:message).value).to eq("grüße " * 1000)
        end
      end

      it "leaves short messages as they are" do
        serve(compression: { threshold: 100 })
        client = offering
        client.text("x" * 99)
        client.text("x" * 100)

        expect([read_message(client), read_message(client)])
          .to eq([["x" * 99, false], ["x" * 100, true]])
      end

      it "keeps the order of what is compressed and what is not, up to the close" do
        serve(compression: true) do |ws|
          ws.onopen do
            20.times do |n|
              ws.send("#{n}:#{"x" * 5000}")
              ws.send("#{n}:short")
              ws.ping(n.to_s)
            end
            ws.close(4000, "end")
          end
        end
        client = offering
        got = Array.new(61) { client.read_frame }
        texts = got.select { |frame| frame.type == :text }.map do |frame|
          frame.reserved.zero? ? frame.payload : inflate(frame.payload)
        end

        expect(texts.map { |text| text[/\A\d+:./] })
          .to eq((0...20).flat_map { |n| ["#{n}:x", "#{n}:s"] })
        expect(got.each_slice(3).first(20).map { |slice| slice.map(&:type) })
          .to all(eq(%i[text text ping]))
        expect(got.last).to have_attributes(type: :close, payload: "\x0F\xA0end".b)
      end

      it "agrees to nothing with a client that offers nothing, or nothing that is known" do
        serve(compression: true)
        known = { "Sec-WebSocket-Extensions" => "permessage-deflate; unknown" }

        expect([connect, offering(offer: known)].map { |client| extensions(client) })
          .to eq([[], []])
      end

      it "refuses a message that inflates past the limit" do
        serve(compression: true, max_message_size: 100_000)
        client = offering
        client.write(client.encode(:text, deflate("x" * 100_001), reserved: rsv1))

        expect(client.read(:close)).to start_with("\x03\xF1".b)
        next_event(:open)
        expect(next_event(:error).value).to be_instance_of(EM::WebSocket::WSMessageTooBigError)
      end

      it "refuses broken data, and the compressed bit where nothing was agreed" do
        serve(compression: true)
        broken = offering
        broken.write(broken.encode(:text, "\xFF\xFF\xFF\xFF", reserved: rsv1))
        plain = connect
        plain.write(plain.encode(:text, deflate("x"), reserved: rsv1))

        expect([broken, plain].map { |client| client.read(:close)[0, 2] })
          .to eq(["\x03\xEF".b, "\x03\xEA".b])
        errors = Array.new(6) { next_event }.select { |event| event.name == :error }
        expect(errors.map { |event| event.value.class })
          .to contain_exactly(EM::WebSocket::InvalidDataError, EM::WebSocket::WSProtocolError)
      end
    end
  end

  it "is off by default" do
    serve

    expect(extensions(offering(offer: offer))).to be_empty
  end

  it "limits windows and contexts as it is told" do
    serve(compression: { window_bits: 10, context_takeover: false })
    both = offer.transform_values { |value| "#{value}; server_max_window_bits=15" }

    expect(extensions(offering(offer: both)).join).to include(
      "server_no_context_takeover", "client_no_context_takeover",
      "server_max_window_bits=10", "client_max_window_bits=10"
    )
  end

  [false, true].each do |attached|
    it "names no window of its own to a client that has named none, and keeps to it " \
       "#{attached ? "on EventMachine's own sockets" : "in the background"}", attached: attached do
      serve(compression: { window_bits: 9, threshold: 0 })
      client = offering
      text = [Random.new(1).bytes(500)].pack("m0") * 5
      client.text(text)
      frame = client.read_frame

      expect(extensions(client)).to eq(["Sec-WebSocket-Extensions: permessage-deflate"])
      narrow = Zlib::Inflate.new(-9)
      expect(narrow.inflate(frame.payload + "\x00\x00\xFF\xFF".b)).to eq(text)
    end
  end

  it "compresses over TLS, and from other threads, in their order" do
    serve(compression: true, secure: true, tls_options: Certificate.tls_options) { |ws| record(ws) }
    client = offering(tls: true)
    ws = open_connection
    threads = %w[a b].map do |name|
      Thread.new { 20.times { |n| ws.send("#{name}#{n}:#{"x" * 3000}") } }
    end
    threads.each(&:join)
    got = Array.new(40) { read_message(client).first[/\A[ab]\d+/] }

    expect(got.partition { |text| text.start_with?("a") })
      .to eq([Array.new(20) { |n| "a#{n}" }, Array.new(20) { |n| "b#{n}" }])
  end

  {
    { levle: 3 } => /unknown key "levle"/,
    { level: 10 } => /level is 10, not 0 to 9/,
    { window_bits: 7 } => /window_bits is 7, not 8 to 15/,
    { memory_level: 0 } => /memory_level is 0, not 1 to 9/
  }.each do |option, text|
    it "refuses #{option} at the start" do
      expect { serve(compression: option) }.to raise_error(ArgumentError, text)
    end
  end
end
