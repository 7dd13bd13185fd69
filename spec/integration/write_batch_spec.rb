# frozen_string_literal: true

require "zlib"

# Frames that are sent while the messages of one read are told: EventMachine gets them at once, and
# nobody can tell.
RSpec.describe EventMachine::WebSocket::Connection, "answering many messages of one read",
               :attached do
  # The natively implemented functions of EventMachine's that are called, by any thread.
  def asked_of_eventmachine
    asked = []
    singleton = EventMachine.singleton_class
    trace = TracePoint.new(:c_call) do |call|
      asked << call.method_id if call.defined_class == singleton
    end
    trace.enable
    yield
    asked
  ensure
    trace.disable
  end

  # The client's messages, in one segment.
  def say(client, *texts)
    client.write(texts.map { |text| client.encode(:text, text) }.join)
  end

  def read_texts(client, count) = Array.new(count) { client.read_text }

  def sends(client, texts, answers: texts)
    asked_of_eventmachine do
      say(client, *texts)
      expect(read_texts(client, answers.size)).to eq(answers)
    end.count(:send_data)
  end

  def subclass(&body) = Class.new(described_class, &body)

  # A server whose connections are of this class.
  def serve_as(connection_class, options = {}, &accept)
    server = Server.new(options, connection_class, events, &accept)
    started(server.reactor)
    @server = server
  end

  # Echoes messages, and calls the block with the connection behind the echo of this one.
  def echo_until(connection, last)
    connection.onmessage do |text|
      connection.send(text)
      yield connection if text == last
    end
  end

  let(:letters) { ("a".."f").to_a }

  describe "with what the library itself sends", :extension do
    it "calls send_data once for the echoes of six messages" do
      serve

      expect(sends(connect, letters)).to eq(1)
    end

    # In one that is, another thread may have its turn, whose frame would be lost or late.
    it "calls no send_data that is written in Ruby" do
      serve
      client = connect
      called = []
      trace = TracePoint.new(:call) { |call| called << call.path if call.method_id == :send_data }
      trace.enable(target_thread: nil)
      say(client, *letters)
      expect(read_texts(client, 6)).to eq(letters)
      trace.disable

      expect(called).to be_empty
    ensure
      trace&.disable
    end

    it "calls send_data once for frames of every kind, in order" do
      serve do |ws|
        ws.onmessage do |text|
          ws.send(text)
          expect([ws.send_binary(text), ws.ping(text), ws.pong(text)]).to eq([3, true, true])
        end
      end
      client = connect
      asked = asked_of_eventmachine do
        client.write(client.encode(:text, "a") + client.encode(:ping, "b") +
                     client.encode(:text, "c"))
        got = %i[text binary ping pong pong text binary].map { |type| client.read(type) }
        expect(got).to eq(%w[a a a a b c c])
      end

      expect(asked.count(:send_data)).to eq(1)
    end

    it "calls send_data once on a subclass with another hook" do
      serve_as(subclass { def receive_data(data) = super(data.dup) }) { |ws| echo(ws) }

      expect(sends(connect, letters)).to eq(1)
    end

    it "calls send_data before more than 64 KiB are gathered" do
      sent = events
      serve do |ws|
        ws.onmessage do |text|
          sent << asked_of_eventmachine { 20.times { ws.send(text * 10_000) } }.count(:send_data)
        end
      end
      client = connect
      say(client, "a", "b")

      expect(read_texts(client, 40)).to eq((["a" * 10_000] * 20) + (["b" * 10_000] * 20))
      expect([sent.pop, sent.pop]).to all(be_between(2, 4))
    end

    it "sends to another connection at once, in a read of this one" do
      others = {}
      sent = events
      serve do |ws|
        ws.onmessage do |name|
          next others[name] = ws if others.empty?

          ws.send("mine")
          sent << asked_of_eventmachine { others["other"].send(name) }.count(:send_data)
        end
      end
      other = connect
      other.text("other")
      client = connect
      client.ping
      client.read(:pong)
      say(client, "a", "b")

      expect([sent.pop, sent.pop]).to eq([1, 1])
      expect(read_texts(other, 2)).to eq(%w[a b])
      expect(read_texts(client, 2)).to eq(%w[mine mine])
    end

    it "calls send_data for each frame on a connection with an outbound limit" do
      serve(outbound_limit: 1_000_000)

      expect(sends(connect, letters)).to eq(6)
    end

    it "calls send_data for each frame on a connection with an ondrain" do
      serve { |ws| echo(ws) && ws.ondrain { nil } }

      expect(sends(connect, letters)).to eq(6)
    end

    it "calls send_data for each frame where another thread than the reactor's reads" do
      serve
      client = connect
      ws = open_connection
      frames = %w[a b c].map { |text| client.encode(:text, text) }.join

      expect(asked_of_eventmachine { ws.receive_data(frames) }.count(:send_data)).to eq(3)
    end
  end

  it "keeps large and small messages in order" do
    serve
    client = connect
    texts = [1, 20_000, 2, 16_384, 16_383, 3].map { |size| "x" * size }
    say(client, *texts)

    expect(read_texts(client, 6)).to eq(texts)
  end

  it "keeps compressed messages in order", :extension do
    serve(compression: { threshold: 10 })
    client = connect(headers: { "Sec-WebSocket-Extensions" => "permessage-deflate" })
    texts = (5..9).map { |count| "the same, " * count }
    say(client, *texts)
    inflate = Zlib::Inflate.new(-Zlib::MAX_WBITS)
    got = texts.map do
      frame = client.read_frame
      inflate.inflate(frame.payload + "\x00\x00\xFF\xFF".b)
    end

    expect(got).to eq(texts)
  end

  it "lets raw bytes pass in order with the frames" do
    serve do |ws|
      ws.onmessage do |text|
        ws.send("#{text}1")
        ws.send_data("\x81\x02#{text}2".b)
        ws.send("#{text}3")
      end
    end
    client = connect
    say(client, "a", "b")

    expect(read_texts(client, 6)).to eq(%w[a1 a2 a3 b1 b2 b3])
  end

  %i[get_outbound_data_size buffered_amount].each do |name|
    it "shows #{name} what was sent", extension: name == :buffered_amount do
      sizes = events
      serve do |ws|
        ws.onmessage do |text|
          ws.send(text)
          sizes << ws.public_send(name)
        end
      end
      client = connect
      asked = %w[a bb ccc]
      say(client, *asked)

      expect(read_texts(client, 3)).to eq(asked)
      expect(sizes.drain).to eq([3, 7, 12])
    end
  end

  # Bytes that the client gets where the echoing block does this at the second of three messages.
  [
    ["writes all of it before close_connection_after_writing ends the connection",
     ->(ws) { ws.close_connection_after_writing }, "\x81\x01a\x81\x01b"],
    ["writes all of it before EM.close_connection ends the connection",
     ->(ws) { EM.close_connection(ws.signature, true) }, "\x81\x01a\x81\x01b"],
    ["sends nothing of it where close_connection ends the connection at once",
     lambda(&:close_connection), ""]
  ].each do |name, ending, received|
    it name do
      serve { |ws| echo_until(ws, "b", &ending) }
      client = connect
      say(client, "a", "b", "c")

      expect(client.read_to_end).to eq(received.b)
    end
  end

  it "sends the application's close behind what was sent" do
    serve { |ws| echo_until(ws, "b") { ws.close(4000, "enough") } }
    client = connect
    say(client, "a", "b")

    expect(read_texts(client, 2)).to eq(%w[a b])
    expect(client.read(:close)).to eq("\x0F\xA0enough".b)
  end

  it "answers the client's close behind what was sent" do
    serve
    client = connect
    client.write(client.encode(:text, "a") + client.encode(:text, "b") + client.encode_close(1000))

    expect(client.read_to_end).to eq("\x81\x01a\x81\x01b\x88\x02\x03\xE8".b)
  end

  it "sends the close that fails the connection behind what was sent" do
    serve
    client = connect
    client.write(client.encode(:text, "a") + client.encode(:text, "b") +
                 client.encode(:text, "c", opcode: 3))

    expect(client.read_to_end).to start_with("\x81\x01a\x81\x01b\x88".b)
  end

  it "sends what came before an exception, with onerror" do
    serve do |ws|
      record(ws, :error)
      echo_until(ws, "b") { raise "boom" }
    end
    client = connect
    say(client, "a", "b")

    expect(read_texts(client, 2)).to eq(%w[a b])
    expect(client.read(:close)).to eq("\x0B\xB8Application error".b)
  end

  it "sends what came before an exception that reaches EM.error_handler" do
    serve { |ws| echo_until(ws, "b") { raise "boom" } }
    caught = events
    EM.error_handler { |error| caught << error.message }
    client = connect
    say(client, "a", "b")

    expect(read_texts(client, 2)).to eq(%w[a b])
    expect(client.read(:close)).to eq("\x0B\xB8Application error".b)
    expect(caught.pop).to eq("boom")
  ensure
    EM.error_handler
  end

  it "sends what came before a throw" do
    thrown = subclass { def receive_data(data) = catch(:enough) { super } }
    serve_as(thrown) { |ws| echo_until(ws, "b") { throw(:enough) } }
    client = connect
    say(client, "a", "b")

    expect(read_texts(client, 2)).to eq(%w[a b])
  end

  {
    send_file_data: [__FILE__], detach: [], start_tls: [Certificate.tls_options]
  }.each do |name, arguments|
    function = { detach: :detach_fd }.fetch(name, name)

    it "calls EventMachine's #{function} after send_data of what was sent" do
      asked = nil
      serve do |ws|
        echo_until(ws, "b") do
          asked = asked_of_eventmachine do
            ws.send(+"c")
            detached = ws.public_send(name, *arguments)
            IO.for_fd(detached).close if name == :detach
          end
          note(:asked)
        end
      end
      client = connect
      say(client, "a", "b", "c")
      next_event(:asked)

      expect(asked & [:send_data, function]).to eq([:send_data, function])
    end
  end

  it "keeps the order of two threads' turns" do
    serve do |ws|
      ws.onmessage do |text|
        ws.send("#{text}1")
        Thread.new { ws.send("#{text}2") }.join
        ws.send("#{text}3")
        Thread.new { ws.send_data("\x81\x02#{text}4".b) }.join
        ws.send("#{text}5")
      end
    end
    client = connect
    say(client, "a", "b")

    expect(read_texts(client, 10)).to eq(%w[a1 a2 a3 a4 a5 b1 b2 b3 b4 b5])
  end

  it "takes what a block feeds to receive_data" do
    serve do |ws|
      ws.onmessage do |text|
        ws.send("#{text}, before")
        ws.receive_data("\x81\x81\0\0\0\0x\x81\x81\0\0\0\0y".b) if text == "a"
        ws.send("#{text}, behind")
      end
    end
    client = connect
    say(client, "a", "b")
    got = read_texts(client, 8)

    expect(got.first).to eq("a, before")
    expect(got.last).to eq("a, behind")
    expect(got[1..-2]).to eq(%w[b x y].flat_map { |text| ["#{text}, before", "#{text}, behind"] })
  end

  it "does not wait for a fiber that a block leaves" do
    in_fibers = subclass { def receive_data(data) = Fiber.new { super(data) }.resume }
    serve_as(in_fibers) { |ws| echo_until(ws, "b") { Fiber.yield } }
    client = connect
    say(client, "a", "b", "c")

    expect(read_texts(client, 2)).to eq(%w[a b])
  end

  it "answers over TLS where that was asked for" do
    serve(secure: true, tls_options: Certificate.tls_options)
    client = connect(tls: true)
    say(client, *letters)

    expect(read_texts(client, 6)).to eq(letters)
  end
end
