# frozen_string_literal: true

require "json"
require_relative "connections"
require_relative "program"

# Hooks that applications give the connections of EM::WebSocket.run, which are read in the
# background unless that would be noticed.
RSpec.describe EventMachine::WebSocket::Connection, "with hooks of the application", :connections do
  # Arguments that each hook is called with while a client says all it can.
  calls = {
    dispatch: [%r{\AGET / HTTP/1.1\r\n}],
    receive_data: [%r{\AGET / HTTP/1.1\r\n}, String, String, String, String],
    send_data: [%r{\AHTTP/1.1 101 }, "\x81\x04text".b, "\x82\x05bytes".b,
                "\x8A\x04ping".b, "\x88\x02\x03\xE8".b],
    trigger_on_open: [EM::WebSocket::Handshake],
    trigger_on_message: ["text"],
    trigger_on_binary: ["bytes"],
    trigger_on_ping: ["ping"],
    trigger_on_pong: ["pong"],
    trigger_on_close: [{ code: 1000, reason: "", was_clean: true }],
    unbind: [nil]
  }

  # Where one connection has what is its own.
  places = {
    "its singleton" => :singleton_class.to_proc,
    "a module that extends it" => ->(ws) { Module.new.tap { |made| ws.extend(made) } },
    "a module prepended to its singleton" =>
      ->(ws) { Module.new.tap { |made| ws.singleton_class.prepend(made) } }
  }

  # Defines the hook there. EventMachine gives `unbind` an argument where it takes one.
  def define_hook(place, hook, seen)
    place.class_eval do
      if hook == :unbind
        define_method(hook) { (seen << nil) && super() }
      else
        define_method(hook) { |argument| (seen << argument) && super(argument) }
      end
    end
  end

  calls.each do |hook, arguments|
    places.each do |where, place|
      it "calls #{hook} in #{where}" do
        seen = events
        serve do |ws|
          echo_only(ws)
          define_hook(place.call(ws), hook, seen)
        end
        converse(connect)
        server.stop

        expect(seen.drain).to match(arguments)
      end
    end
  end

  it "calls the hooks of one connection and not another's" do
    seen = events
    accepted = 0
    serve do |ws|
      echo_only(ws)
      define_hook(ws.singleton_class, :receive_data, seen) if (accepted += 1) == 2
    end
    first, second, third = Array.new(3) { connect }
    expect(seen.drain.size).to eq(1)
    [first, third].each { |client| converse(client) }
    expect(seen).to be_empty
    converse(second)

    expect(seen.size).to eq(4)
  end

  %i[dispatch receive_data].each do |hook|
    it "answers all messages of one read behind #{hook}" do
      serve do |ws|
        echo_only(ws)
        define_hook(ws.singleton_class, hook, [])
      end
      client = connect
      texts = ("a".."f").to_a
      client.write(texts.map { |text| client.encode(:text, text) }.join)

      expect(texts.map { client.read_text }).to eq(texts)
    end
  end

  it "calls hooks with the decrypted bytes of a TLS client" do
    seen = events
    serve(secure: true, tls_options: Certificate.tls_options) do |ws|
      echo_only(ws)
      define_hook(ws.singleton_class, :receive_data, seen)
    end
    converse(connect(tls: true))

    expect(seen.drain).to match(calls.fetch(:receive_data))
  end

  it "starts TLS where the accept block wants it" do
    secure = [false, true, false].each
    serve do |ws|
      echo_only(ws)
      ws.start_tls(Certificate.tls_options) if secure.next
    end

    [false, true, false].each { |tls| converse(connect(tls: tls)) }
  end

  # Hooks that are read in different ways.
  sets = [%i[dispatch receive_data send_data], calls.keys.grep(/trigger_on/), %i[unbind]]

  # The program's answers to a client that says all it can, hook by hook.
  def told(program)
    port = Integer(program.wait_for(/^(\d+)$/)[1])
    yield port if block_given?
    converse(connect(port: port))
    # What comes last, in each of the sets.
    program.wait_for(/^\["(?:send_data","\\"\\\\x88|trigger_on_close|unbind).*\n/)
    program.stop("KILL")
    program.output.lines.drop(1).map { |line| JSON.parse(line).first.to_sym }.tally
  end

  %w[prepend reopen].product(sets).each do |how, hooks|
    it "calls #{hooks.join(", ")} of all connections (#{how})" do
      Program.ruby(Program.fixture("hooks"), how, "at-once", *hooks.map(&:to_s)) do |program|
        expect(told(program)).to eq(hooks.to_h { |hook| [hook, calls.fetch(hook).size] })
      end
    end
  end

  %w[prepend reopen module].product([%i[receive_data], %i[trigger_on_message]]).each do |how, hooks|
    it "calls #{hooks.join} that connections have got since the first one (#{how})" do
      named = [*hooks.map(&:to_s), "unbind"]
      Program.ruby(Program.fixture("hooks"), how, "later", *named) do |program|
        answers = told(program) { |port| connect(port: port).read_text }
        expect(answers).to include(hooks.first => calls.fetch(hooks.first).size)
      end
    end
  end

  it "may have a state of the application's own" do
    serve do |ws|
      echo_only(ws)
      ws.singleton_class.attr_accessor(:state)
      ws.onopen { ws.state = :login }
      ws.onclose { |event| note(:close, [event[:code], ws.state]) }
    end
    converse(connect)

    expect(next_event(:close).value).to eq([1000, :login])
  end

  it "calls trigger_on_error with what the client and the application do wrong" do
    seen = events
    serve do |ws|
      ws.onerror {}
      ws.onmessage { raise ArgumentError, "the application's" }
      define_hook(ws.singleton_class, :trigger_on_error, seen)
    end
    connect.text("go")
    expect(seen.pop).to be_an(ArgumentError).and have_attributes(message: "the application's")
    connect.write("\xFF\x00".b)
    expect(seen.pop).to be_an(EM::WebSocket::WSProtocolError)
    dial.write("POST / HTTP/1.1\r\n\r\n")

    expect(seen.pop)
      .to be_an(EM::WebSocket::HandshakeError).and have_attributes(message: "Must be GET request")
  end

  it "may be told by callbacks that are methods" do
    seen = events
    serve do |ws|
      ws.singleton_class.class_eval do
        define_method(:onopen) { |handshake| seen << handshake.path }
        define_method(:onmessage) { |text| send(text) }
        define_method(:onclose) { |event| seen << event }
      end
      %i[onopen onmessage onclose].each do |name|
        ws.instance_variable_set(:"@#{name}", ws.method(name))
      end
    end
    client = connect(target: "/methods")
    client.text("text")
    expect(client.read_text).to eq("text")
    client.close(1000)

    expect(Array.new(2) { seen.pop })
      .to eq(["/methods", { code: 1000, reason: "", was_clean: true }])
  end

  it "routes by a receive_data that takes itself away" do
    opening = lambda do |ws|
      ws.onopen { |handshake| ws.send("open #{handshake.path}") }
      ws.onmessage { |text| ws.send(text) }
      ws.onbinary { |bytes| ws.send_binary(bytes) }
    end
    page = lambda do |ws|
      ws.send_data("HTTP/1.1 200 OK\r\n\r\n")
      ws.send_data("page")
      ws.close_connection_after_writing
    end
    serve(routes: { "/socket" => opening, "/page" => page }) do |ws|
      raise "comm_inactivity_timeout" unless ws.comm_inactivity_timeout.zero?

      def ws.receive_data(data)
        route = @options[:routes][data.split(" ", 3)[1]]
        route&.call(self)
        send_data("HTTP/1.1 404\r\n\r\n").then { close_connection_after_writing } unless route
        singleton_class.remove_method(__method__)
        super if defined? @onopen
      end
    end
    client = connect(target: "/socket")

    expect(client.read_text).to eq("open /socket")
    converse(client)
    expect(request(server.port, "/page")).to eq("HTTP/1.1 200 OK\r\n\r\npage")
    expect(request(server.port, "/other")).to eq("HTTP/1.1 404\r\n\r\n")
  end

  it "answers plain HTTP in dispatch, with a file, and WebSocket by super" do
    serve do |ws|
      echo_only(ws)
      ws.extend(Connections::Livereload)
      ws.script = script
    end

    converse(connect)
    expect(request(server.port, "/livereload.js?x"))
      .to eq("HTTP/1.1 200 OK\r\nContent-Length: 81920\r\n\r\n".b + File.binread(script))
    expect(request(server.port, "/")).to end_with("\r\n\r\nnot there")
  end

  it "does the opening handshake by hand in dispatch" do
    serve do |ws|
      record(ws, :open, :close, :error)
      echo_only(ws)
      ws.extend(Connections::OwnHandshake)
    end
    converse(connect(target: "/by-hand"))
    expect(next_event(:open).value.path).to eq("/by-hand")
    expect(next_event(:close).value).to eq(code: 1000, reason: "", was_clean: true)

    expect(request(server.port, "/")).to be_empty
    expect(next_event(:error).value).to have_attributes(message: "Not an upgrade request")
  end

  it "has methods of modules that were included in its class" do
    Program.ruby(Program.fixture("hooks"), "include", "at-once") do |program|
      client = connect(port: Integer(program.wait_for(/^(\d+)$/)[1]))
      client.text("LOUD")

      expect(client.read_text).to eq("loud")
    end
  end
end
