# frozen_string_literal: true

RSpec.shared_examples "limits and broken rules" do |draft|
  # Number in "Frame length too long (N bytes)" for this many bytes of payload.
  define_method(:counted) do |payload|
    overhead = { buffer: 2, payload: 0, frame: 2 + 4 }
    payload + overhead.fetch(draft.limit_counts)
  end

  # The connection fails: this close frame, the end of the connection, onerror, onclose.
  define_method(:expect_failure) do |client, error_class, message, code: error_class.new.code|
    case draft.close
    when :empty, :s then expect(client.read(:close)).to eq(draft.close_body)
    when :code then expect(client.read(:close)).to eq([code].pack("n") + message)
    end
    expect(client).to be_eof
    expect(next_event(:error)).to have_attributes(
      state: draft.close == :tcp ? :connected : :closing,
      value: be_instance_of(error_class).and(have_attributes(message: message, code: code))
    )
    expect(next_event(:close)).to have_attributes(
      state: :closed, value: { code: 1006, was_clean: false }
    )
    expect(events).to be_empty
  end

  it "takes a frame of exactly max_frame_size" do
    serve do |ws|
      echo(ws)
      ws.max_frame_size = counted(40)
    end
    client = connect(draft)
    client.text("x" * 40)

    expect(client.read_text).to eq("x" * 40)
  end

  it "fails the connection on a frame over max_frame_size" do
    serve do |ws|
      echo(ws)
      ws.max_frame_size = counted(40) - 1
    end
    client = connect(draft)
    open_connection
    client.text("x" * 40)

    expect_failure(
      client, EM::WebSocket::WSMessageTooBigError, "Frame length too long (#{counted(40)} bytes)"
    )
  end

  it "holds the first frame to a max_frame_size that onopen sets" do
    serve do |ws|
      record(ws)
      ws.onopen { |handshake| note(:open, handshake, ws) && ws.max_frame_size = 10 }
    end
    client = connect(draft)
    open_connection
    client.text("x" * 40)

    expect_failure(
      client, EM::WebSocket::WSMessageTooBigError, "Frame length too long (#{counted(40)} bytes)"
    )
  end

  it "leaves every other connection alone" do
    serve
    other = connect(draft)
    open_connection
    client = connect(draft)
    open_connection
    client.write("\x0F\x00\x00\x00\x00\x00\x00\xFF")
    client.read_to_end
    other.text("alive")

    expect(other.read_text).to eq("alive")
  end

  if draft.pingable?
    it "fails on an announced length alone, before the bytes come", :fixed do
      serve
      client = connect(draft)
      open_connection
      client.write(client.header(:text, (2**62) + 5))
      counted = (2**62) + 5 + (draft.limit_counts == :frame ? 10 : 0)

      expect_failure(
        client, EM::WebSocket::WSMessageTooBigError, "Frame length too long (#{counted} bytes)"
      )
    end

    it "fails on a length of 2^63", :fixed do
      serve
      client = connect(draft)
      open_connection
      client.write(client.header(:binary, 2**63))
      client.read(:close)

      expect(client).to be_eof
      expect(next_event(:error).value).to be_a(EM::WebSocket::WSProtocolError)
      expect(next_event(:close).value).to eq(code: 1006, was_clean: false)
    end

    it "counts the fragments of a message together", :fixed do
      serve do |ws|
        echo(ws)
        ws.max_message_size = 50
      end
      client = connect(draft)
      client.fragments(:text, ["x" * 30] * 2)

      expect(client.read(:close)).to start_with(draft.close_body(1009))
      expect(client).to be_eof
      expect([next_event.name, next_event.value.class])
        .to eq([:open, EM::WebSocket::WSMessageTooBigError])
    end

    {
      "an unknown opcode" => [[nil, "x", { opcode: 15 }], "Unknown opcode 15"],
      "a continuation of nothing" =>
        [[:continuation, "x", {}], "Continuation frame not expected"]
    }.each do |what, ((type, payload, fields), message)|
      it "refuses #{what}" do
        serve
        client = connect(draft)
        open_connection
        client.write(client.encode(type, payload, **fields))

        expect_failure(client, EM::WebSocket::WSProtocolError, message)
      end
    end
  else
    it "refuses a frame that begins with another byte than 00 or FF" do
      serve
      client = connect(draft)
      open_connection
      client.write("\x01abc\xFF")

      expect_failure(client, EM::WebSocket::WSProtocolError, "Invalid frame received")
    end

    it "refuses a length beyond 64 bits" do
      serve
      client = connect(draft)
      open_connection
      client.write("\x80#{"\xFF" * 12}\x01")
      length = Array.new(12, 127).push(1).reduce { |sum, seven_bits| (sum * 128) + seven_bits }

      expect_failure(
        client, EM::WebSocket::WSMessageTooBigError, "Frame length too long (#{length} bytes)"
      )
    end

    it "skips a frame that gives its length, and reads on", :fixed do
      serve
      client = connect(draft)
      client.write("\x80\x03abc\x00next\xFF")

      expect(client.read_text).to eq("next")
    end
  end

  if draft.strict
    {
      "a new message among the fragments of another" =>
        [[[:text, "x", { last: false }], [:text, "y", {}]], "Continuation frame expected"],
      "a control frame in fragments" =>
        [[[:ping, "x", { last: false }]], "Control frames must not be fragmented"]
    }.each do |what, (frames, message)|
      it "refuses #{what}" do
        serve
        client = connect(draft)
        open_connection
        frames.each { |type, payload, fields| client.write(client.encode(type, payload, **fields)) }

        expect_failure(client, EM::WebSocket::WSProtocolError, message)
      end
    end
  elsif draft.pingable?
    it "takes a new message among the fragments of another" do
      serve
      client = connect(draft)
      client.text("x", last: false)
      client.text("y")

      expect(client.read_text).to eq("y")
    end
  end

  # Em-websocket hands it over up to draft 05, labelled UTF-8, so that searching it raises.
  it "refuses text that is not UTF-8", fixed: !draft.close_codes? do
    serve
    client = connect(draft)
    open_connection
    client.text("a\xC0b")

    expect_failure(client, EM::WebSocket::InvalidDataError, "Invalid UTF8 data")
  end

  if draft.framing == :length
    it "refuses text at its first bad byte, before the message ends", :fixed do
      serve
      client = connect(draft)
      open_connection
      client.write(client.encode(:text, "a\xC0b#{"c" * 100}")[0, 30])

      expect_failure(client, EM::WebSocket::InvalidDataError, "Invalid UTF8 data")
    end
  end

  if draft.close_codes?
    it "refuses a close frame of one byte" do
      serve
      client = connect(draft)
      open_connection
      client.write(client.encode(:close, "x"))

      expect(client.read(:close)).to start_with("\x03\xEA".b)
      expect(client).to be_eof
      expect(next_event(:error).value).to be_instance_of(EM::WebSocket::WSProtocolError)
    end
  end
end
