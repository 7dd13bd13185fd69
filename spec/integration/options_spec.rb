# frozen_string_literal: true

# The options of EM::WebSocket.run, in whatever they come, and whatever they are.
RSpec.describe EventMachine::WebSocket, "and its options" do
  address = { host: "127.0.0.1", port: 0 }

  # A server of exactly these options; its port.
  def listen(options, &accept)
    accept ||= method(:echo)
    run_reactor do
      signature = described_class.run(options, &accept)
      Server.port_of(signature)
    end.value
  end

  # A Hash like ActiveSupport's: it keeps Strings, and answers Symbols.
  indifferent = Class.new(Hash) do
    def self.of(hash)
      hash.each_with_object(new) do |(key, value), made|
        made[key] = value.is_a?(Hash) ? of(value) : value
      end
    end

    define_method(:[]) { |key| super(key.to_s) }
    define_method(:[]=) { |key, value| super(key.to_s, value) }
    define_method(:values_at) { |*keys| keys.map { |key| self[key] } }
    define_method(:key?) { |key| super(key.to_s) }
  end

  by_default_block = lambda do |hash|
    values = hash.transform_values do |value|
      value.is_a?(Hash) ? by_default_block.call(value) : value
    end
    Hash.new { |_, key| values[key] }
  end
  by_default_value = Class.new(Hash) { define_method(:default) { |key = nil| @all[key] } }
  answering = Class.new do
    def initialize(hash) = @hash = hash
    def [](key) = @hash[key]
    def values_at(*keys) = @hash.values_at(*keys)
  end

  kinds = {
    "a Hash" => :itself.to_proc,
    "a frozen Hash" => :freeze.to_proc,
    "a Hash that answers [] for Symbols and keeps Strings" => indifferent.method(:of),
    "a Hash with a default block" => by_default_block,
    "a Hash whose subclass has a default method" => lambda do |hash|
      by_default_value.new.tap { |made| made.instance_variable_set(:@all, hash) }
    end,
    "a Hash whose default is false" => ->(hash) { Hash.new(false).merge!(hash) },
    "a Hash whose default is 0, but for em-websocket's own" => lambda do |hash|
      theirs = { debug: nil, secure: nil, secure_proxy: nil, tls_options: nil, close_timeout: nil }
      Hash.new(0).merge!(theirs, hash)
    end,
    "a Hash that raises KeyError for what em-websocket has not" => lambda do |hash|
      theirs = { debug: nil, secure: nil, secure_proxy: nil, tls_options: nil, close_timeout: nil,
                 outbound_limit: nil }
      theirs.merge(hash).tap { |made| made.default_proc = ->(_, key) { raise KeyError, key.to_s } }
    end,
    "an object that answers []" => answering.method(:new)
  }

  kinds.each do |kind, make|
    describe "in #{kind}" do
      it "serves, and keeps that object as @options" do
        options = make.call(address.dup)
        client = connect(port: listen(options) { |ws| echo(ws) && note(:accept, ws) })
        client.text("hello")

        expect(client.read_text).to eq("hello")
        kept = next_event(:accept).value.instance_variable_get(:@options)
        expect(kept).to equal(options)
      end

      it "holds clients to the limits among them", :extension do
        port = listen(make.call(address.merge(max_header_size: 300, compression: { level: 1 },
                                              protocols: ["a"], max_message_size: 5)))
        long = connect(port: port, headers: Drafts::RFC.headers.merge("X" => "y" * 300))
        client = connect(port: port, headers: Drafts::RFC.headers.merge(
          "Sec-WebSocket-Protocol" => "b, a", "Sec-WebSocket-Extensions" => "permessage-deflate"
        ))
        client.text("123456")

        expect(long.response[:status]).to include("431")
        expect(client.response[:lines]).to include(
          "Sec-WebSocket-Protocol: a", "Sec-WebSocket-Extensions: permessage-deflate"
        )
        expect(client.read(:close)[0, 2]).to eq([1009].pack("n"))
      end

      it "lets nobody in without a client certificate, where :tls_options ask for one",
         :extension do
        asking = { verify_peer: true, fail_if_no_peer_cert: true }
        secure = { secure: true, tls_options: Certificate.tls_options.merge(asking) }
        port = listen(make.call(address.merge(secure))) { |ws| record(ws) }
        refused = satisfy { |e| e.is_a?(OpenSSL::SSL::SSLError) || e.is_a?(SystemCallError) }

        expect { TlsClient.new(port, max_version: OpenSSL::SSL::TLS1_2_VERSION) }
          .to raise_error(refused)
        expect(events).to be_empty
      end

      it "holds clients to them on EventMachine's own sockets", :extension do
        options = make.call(address.merge(protocols: ["a"], max_message_size: 5))
        port = run_reactor do
          signature = EM.start_server("127.0.0.1", 0, described_class::Connection, options) do |ws|
            echo(ws)
          end
          Server.port_of(signature)
        end.value
        headers = Drafts::RFC.headers.merge("Sec-WebSocket-Protocol" => "b, a")
        client = connect(port: port, headers: headers)
        client.text("123456")

        expect(client.response[:lines]).to include("Sec-WebSocket-Protocol: a")
        expect(client.read(:close)[0, 2]).to eq([1009].pack("n"))
      end
    end
  end

  it "ignores Strings, as em-websocket does" do
    allow($stderr).to receive(:write) # the warning of such an option
    port = listen(address.merge("secure" => true, "max_message_size" => 1, "port" => "none"))
    client = connect(port: port)
    client.text("hello")

    expect(client.read_text).to eq("hello")
  end

  it "reads each of them once, when the server starts", :extension do
    asked = Hash.new(0)
    options = Class.new(Hash) { define_method(:[]) { |key| (asked[key] += 1) && super(key) } }.new
    port = listen(options.merge!(address, origins: ["http://example.com"]))
    connect(port: port)

    expect(asked.values.uniq).to eq([1])
    expect(asked.keys).to contain_exactly(*described_class::Options::TABLE.keys)
  end

  it "keeps their values of the start, whatever is done to the Hash later", :extension do
    options = address.merge(origins: ["http://example.com"], max_message_size: 5)
    port = listen(options)
    options[:origins] << "http://example.org"
    options.merge!(max_message_size: 1, secure: true, origins: nil)
    headers = Drafts::RFC.headers
    client = connect(port: port, headers: headers.merge("Origin" => "http://example.com"))
    other = connect(port: port, headers: headers.merge("Origin" => "http://example.org"))
    client.text("12345")

    expect([client.read_text, other.response[:status][/\d{3}/]]).to eq(%w[12345 403])
  end

  it "holds a connection to the options that its own initialize passes", :extension do
    own = Module.new do
      def initialize(*) = super({ max_message_size: 5, protocols: ["a"], strict: true })
    end
    # Of one connection, so that Connection stays as it is.
    allow(described_class::Connection).to receive(:allocate).and_wrap_original do |allocate|
      allocate.call.tap { |connection| connection.singleton_class.prepend(own) }
    end
    port = listen(address.merge(max_message_size: 1, protocols: ["b"]))
    client = connect(port: port,
                     headers: Drafts::RFC.headers.merge("Sec-WebSocket-Protocol" => "b, a"))
    client.text("12345")

    expect(client.read_text).to eq("12345")
    expect(client.response[:lines]).to include("Sec-WebSocket-Protocol: a")
  end

  it "frees Options and Certificates once their servers are gone", :extension do
    kept = lambda do
      GC.start
      [described_class::Options, described_class::Certificates].map do |kind|
        ObjectSpace.each_object(kind).count
      end
    end
    before = kept.call
    20.times do |number|
      options = {
        compression: { threshold: number }, protocols: ["p#{number}"], secure: true,
        tls_options: Certificate.tls_options.merge(private_key_pass: "pass #{number}")
      }
      EM.run do
        described_class.run(address.merge(options)) {}
        EM.next_tick { EM.stop }
      end
    end

    # Some may stay, which the stack still shows to the garbage collector.
    kept.call.zip(before) { |after, former| expect(after - former).to be < 5 }
  end

  describe ":compression", :extension do
    it "takes no keys that are Strings, which would be passed over" do
      expect { serve(compression: { "level" => 3 }) }
        .to raise_error(ArgumentError, 'compression: the key "level" must be the Symbol :level')
    end

    it "may be off, in all the ways there are" do
      [nil, false, 0].each do |off|
        headers = Drafts::RFC.headers.merge("Sec-WebSocket-Extensions" => "permessage-deflate")
        serve(compression: off)
        expect(connect(headers: headers).response[:lines].grep(/Extensions/)).to be_empty
      end
    end
  end

  describe ":host and :port" do
    {
      "" => "0.0.0.0", "localhost" => /\A(127\.0\.0\.1|::1)\z/, "127.0.0.1".b => "127.0.0.1",
      "127.1" => "127.0.0.1", "::1" => "::1", "::" => "::"
    }.each do |host, expected|
      it "listens on #{expected} where the host is #{host.inspect}" do
        run_reactor do
          signature = described_class.run(host: host, port: 0) {}
          note(:listens, Socket.unpack_sockaddr_in(EM.get_sockname(signature)).last)
        end

        expect(next_event(:listens).value).to match(expected)
      end
    end

    [" 127.0.0.1", "[::1]", "host.invalid"].each do |host|
      it "says that there is no acceptor on #{host.inspect}" do
        expect { listen(host: host, port: 0) }
          .to raise_error(RuntimeError, /\Ano acceptor/)
      end
    end

    [nil, :localhost, IPAddr.new("127.0.0.1"), 2_130_706_433, 1.5, ["127.0.0.1"], "127.0.0.1\0",
     "\xFF", "localhost".encode("UTF-16BE"), true].each do |host|
      it "takes no #{host.inspect} for a host", :fixed do
        expect { listen(host: host, port: 0) }
          .to raise_error(ArgumentError, /\Ahost: .* is no name or address: give .*\z/m)
      end
    end

    [0, "0", " 0 ", "0x0", 0.0, 0r].each do |port|
      it "takes #{port.inspect} for a port" do
        expect(connect(port: listen(host: "127.0.0.1", port: port)).response[:status])
          .to include("101")
      end
    end

    [nil, "http", "", -1, 70_000, "70000", 1.5, 3/2r, 2**64, Float::INFINITY, Float::NAN, :"0",
     true, [0], "\xFF", "0".encode("UTF-16LE")].each do |port|
      it "takes no #{port.inspect} for a port", :fixed do
        expect { listen(host: "127.0.0.1", port: port) }
          .to raise_error(ArgumentError, /\Aport: .* is no (whole )?number/)
      end
    end

    [{}, nil, [], "127.0.0.1", 1, :host].each do |options|
      it "says so where the options are #{options.inspect}", :fixed do
        expect { listen(options) }
          .to raise_error(ArgumentError, /\A(host|options): /)
      end
    end
  end

  describe "of odd values", :extension do
    table = UPSTREAM ? {} : described_class::Options::TABLE

    # A client of anybody's: what it gets is the server's to say.
    def visit(port, tls)
      client = RawClient.new(port, tls: tls)
      client.write(client.request + client.encode(:text, "hello") + client.encode_close(1000))
      client.read_to_end
    rescue SystemCallError, OpenSSL::SSL::SSLError
      nil
    ensure
      client&.disconnect
    end

    # The outcome of an option: a server that lives on after a client, or an error at its start.
    def outcome_of(name, value, attached)
      server = Server.new({ name => value }, attached) do |ws|
        ws.onmessage { |text| ws.send(text) }
      end
    rescue ArgumentError => e
      e
    else
      begin
        visit(server.port, name == :secure && value)
        server.call { :served }
      ensure
        server.stop
      end
    end

    # Those that em-websocket asks whether they are truthy: everything will do.
    asked = %i[debug secure secure_proxy]
    # It is for `start`, and has examples of its own there; the address, above.
    elsewhere = %i[graceful host port]

    [nil, described_class::Connection].each do |attached|
      describe attached ? "on EventMachine's own sockets" : "in the background" do
        (table.keys - elsewhere).each do |name|
          it "takes :#{name}, or names it when the server starts" do
            allow($stdout).to receive(:write)
            allow_any_instance_of(described_class::Certificate).to receive(:warn)
            OddValues::ALL.each do |value|
              outcome = outcome_of(name, value, attached)
              next if outcome == :served

              expect(asked).not_to include(name)
              expect(value).not_to be_nil
              expect(outcome.message).to start_with("#{name}: ")
              expect(outcome.message).not_to match(OddValues::FOREIGN)
            end
          end
        end
      end
    end
  end
end
