# frozen_string_literal: true

RSpec.describe EventMachine::WebSocket::Connection, "sending" do
  let!(:ws) do
    serve
    @client = connect
    open_connection
  end
  let(:client) { @client }

  def told(&block) = server.call(&block)

  %i[send send_text].each do |name|
    it "answers nil to #{name}" do
      expect(told { ws.public_send(name, +"Grüße") }).to be_nil
      expect(client.read_text).to eq("Grüße")
    end
  end

  it "takes ASCII of any encoding that holds it" do
    told do
      ws.send("latin".encode("ISO-8859-1"))
      ws.send("bytes".b)
      ws.send("ascii".encode("US-ASCII"))
    end

    expect(Array.new(3) { client.read_text }).to eq(%w[latin bytes ascii])
  end

  {
    "é".encode("ISO-8859-1") => "ISO-8859-1 (valid: true)",
    "\xFF" => "UTF-8 (valid: false)",
    "\xE9".b => "ASCII-8BIT (valid: true)",
    "abc".encode("UTF-16LE") => "UTF-16LE (valid: true)"
  }.each do |text, shown|
    it "refuses #{shown}" do
      expect { told { ws.send(text.dup) } }.to raise_error(
        EM::WebSocket::WebSocketError, "Data sent to WebSocket must be valid UTF-8 but was #{shown}"
      )
      expect(told { ws.state }).to eq(:connected)
    end
  end

  [nil, 3].each do |value|
    it "raises NoMethodError for #{value.inspect}" do
      expect { told { ws.send(value) } }.to raise_error(NoMethodError)
    end
  end

  [:symbol, ["x"], { x: 1 }].each do |value|
    it "raises for #{value.inspect}, and lives on" do
      expect { told { ws.send(value) } }.to raise_error(StandardError)
      told { ws.send(+"next") }
      expect(client.read_text).to eq("next")
    end
  end

  it "tells nobody else that the buffer of a client that is gone has drained", :extension do
    size = 20_000_000
    gate = Mailbox.new
    count = 0
    serve do |ws|
      number = (count += 1)
      ws.onopen { note(:open, number) }
      ws.ondrain { note(:drained, number) }
      ws.onmessage do
        ws.outbound_high_water = 1000
        ws.send("x" * size)
        # Nothing is told until all that follows has happened.
        EM.next_tick { gate.pop }
      end
    end
    first = connect
    first.text("flood")
    first.socket.close_write
    first.socket.wait_readable(5)
    sleep 0.1
    second = dial
    sleep 0.1
    total = 0
    total += first.socket.readpartial(1 << 20).bytesize while total < size
    sleep 0.1
    gate << :go
    second.open

    told = Array.new(2) { next_event } + [server.call { nil }, *events.drain].compact
    expect(told.map { |event| [event.name, event.value] }).not_to include([:drained, 2])
    expect(told.map(&:value)).to include(2)
  end

  it "takes a frozen String", :fixed do
    expect(told { ws.send("frozen") }).to be_nil
    expect(client.read_text).to eq("frozen")
  end

  it "takes a subclass of String" do
    told { ws.send(Class.new(String).new("kind of")) }

    expect(client.read_text).to eq("kind of")
  end

  it "leaves the caller's String as it was" do
    text = +"Grüße"
    told { ws.send(text) }

    expect([text, text.encoding, text.frozen?]).to eq(["Grüße", Encoding::UTF_8, false])
  end

  it "leaves its encoding too", :fixed do
    text = "ascii".encode("ISO-8859-1")
    told { ws.send(text) }

    expect(text.encoding).to eq(Encoding::ISO_8859_1)
  end

  it "sends the String as it was at the call" do
    text = +"before"
    told { [ws.send(text), text.replace("after!")] }

    expect(client.read_text).to eq("before")
  end

  { 0 => 2, 125 => 127, 126 => 130, 65_535 => 65_539, 65_536 => 65_546 }.each do |size, queued|
    it "answers to send_binary of #{size} bytes that #{queued} are queued" do
      expect(told { ws.send_binary("\xFE".b * size) }).to eq(queued)
      expect(client.read(:binary)).to eq("\xFE".b * size)
    end
  end

  it "counts the bytes of a String in send_binary, whatever its encoding", :fixed do
    expect(told { ws.send_binary("世界") }).to eq(8)
    expect(client.read(:binary)).to eq("世界".b)
  end

  it "raises for send_binary of nil" do
    expect { told { ws.send_binary(nil) } }.to raise_error(StandardError)
  end

  it "lets raw bytes pass in order with the frames" do
    told do
      ws.send(+"a")
      ws.send_data("\x81\x01b".b)
      ws.send(+"c")
    end

    expect(Array.new(3) { client.read_text }).to eq(%w[a b c])
  end

  it "writes all of it before close_connection_after_writing ends the connection" do
    told do
      ws.send("x" * 2_000_000)
      ws.close_connection_after_writing
    end

    expect(client.read_text.size).to eq(2_000_000)
    expect(client).to be_eof
    expect(next_event(:close).value).to eq(code: 1006, was_clean: false)
  end

  it "ends at once on close_connection" do
    told { ws.close_connection }

    expect(client).to be_eof
    expect(next_event(:close).value).to eq(code: 1006, was_clean: false)
  end

  it "counts what the client has not taken yet" do
    told { 10.times { ws.send_binary("\0".b * 2_000_000) } }

    expect(told { ws.get_outbound_data_size }).to be_between(1_000_000, 20_000_100)
    10.times { client.read(:binary) }
    drained = Timeout.timeout(5) { nil until told { ws.get_outbound_data_size }.zero? }
    expect(drained).to be_nil
  end

  it "streams a file" do
    require "tempfile"
    bytes = "#{"a file " * 12_000}end"
    Tempfile.create("streamed") do |file|
      file.write(bytes)
      file.flush
      told { ws.stream_file_data(file.path).callback { ws.close_connection_after_writing } }

      expect(client.read_to_end).to eq(bytes)
    end
  end

  it "stops reading while paused" do
    told { ws.pause }
    expect(told { ws.paused? }).to be(true)
    client.text("wait")
    expect(client).to be_silent
    expect(events).to be_empty
    told { ws.resume }

    expect(client.read_text).to eq("wait")
    expect(told { ws.paused? }).to be(false)
  end

  it "ends a connection that is silent for comm_inactivity_timeout" do
    told { ws.comm_inactivity_timeout = 0.2 }

    expect(told { ws.comm_inactivity_timeout }).to be_within(0.001).of(0.2)
    expect(client).to be_eof
    expect(next_event(:close).value).to eq(code: 1006, was_clean: false)
  end

  %i[
    get_cipher_name get_cipher_bits get_cipher_protocol get_peer_cert get_sni_hostname
  ].each do |name|
    it "answers nil to #{name} without TLS", :fixed do
      expect(told { ws.public_send(name) }).to be_nil
    end
  end

  %i[detach proxy_incoming_to].each do |name|
    it "says that #{name} cannot be done", :extension do
      arguments = name == :detach ? [] : [ws]
      expect { told { ws.public_send(name, *arguments) } }
        .to raise_error(EM::WebSocket::WebSocketError, /#{name}/)
    end
  end
end
