# frozen_string_literal: true

require "open3"

# Methods that an application overrides on a connection that is open already.
RSpec.describe EventMachine::WebSocket::Connection, "with hooks that come later" do
  # The ways in which a connection gets a method.
  ways = {
    "a module that extends it" => ->(ws, own) { ws.extend(own) },
    "a module in its singleton class" => ->(ws, own) { ws.singleton_class.include(own) },
    "a module before its singleton class" => ->(ws, own) { ws.singleton_class.prepend(own) },
    "singleton methods" =>
      lambda do |ws, own|
        own.instance_methods.each do |name|
          ws.define_singleton_method(name, own.instance_method(name).bind(ws.extend(own)))
        end
      end
  }
  # The hook, what the client says, and what comes back.
  hooks = {
    trigger_on_message: [:text, "loud", :text, "LOUD"],
    trigger_on_binary: [:binary, "loud", :binary, "LOUD"],
    trigger_on_ping: [:ping, "loud", :text, "LOUD"],
    trigger_on_pong: [:pong, "loud", :text, "LOUD"]
  }

  def shouting(hook)
    Module.new do
      define_method(hook) do |data|
        loud = data.upcase
        hook == :trigger_on_binary ? send_binary(loud) : send(loud.force_encoding("UTF-8"))
      end
    end
  end

  def expect_shouting(client, (kind, said, answer, heard))
    client.write(client.encode(kind, said))
    client.read(:pong) if kind == :ping
    expect(client.read(answer)).to eq(heard)
  end

  Transports::ALL.each do |transport, where|
    ways.each do |way, give|
      hooks.each do |hook, talk|
        it "calls #{hook} of #{way}, given by onopen, #{where}" do
          serve_by(transport) { |ws| ws.onopen { give.call(ws, shouting(hook)) } }

          expect_shouting(connect, talk)
        end

        it "calls #{hook} of #{way}, given between two messages, #{where}" do
          serve_by(transport) do |ws|
            ws.singleton_class
            ws.onmessage do |text|
              give.call(ws, shouting(hook))
              ws.send(text)
            end
          end
          client = connect
          client.text("quiet")

          expect(client.read_text).to eq("quiet")
          expect_shouting(client, talk)
        end
      end
    end

    it "calls trigger_on_message no more once it is taken away #{where}" do
      serve_by(transport) do |ws|
        echo(ws)
        ws.onopen do
          ws.define_singleton_method(:trigger_on_message) do |text|
            singleton_class.remove_method(:trigger_on_message)
            send(text.upcase)
          end
        end
      end
      client = connect
      2.times { client.text("once") }

      expect(Array.new(2) { client.read_text }).to eq(%w[ONCE once])
    end
  end

  # A process of its own, for the class is every other example's, too.
  def run_apart(script)
    library = UPSTREAM ? [] : ["-I", File.expand_path("../../lib", __dir__)]
    required = ["em-websocket"] + %w[drafts raw_client].map do |name|
      File.expand_path("../support/#{name}.rb", __dir__)
    end
    required = required.flat_map { |file| ["-r", file] }
    Open3.capture2e(RbConfig.ruby, *library, *required, "-e", script).first
  end

  # Two connections, the second accepted after the change, which each is told of by a message.
  def told_after(change)
    run_apart(<<~RUBY)
      class_of_all = EM::WebSocket::Connection
      EM.run do
        signature = EM::WebSocket.run(host: "127.0.0.1", port: 0) do |ws|
          ws.onmessage { |text| text == "change" ? (#{change}; ws.send("changed")) : ws.send(text) }
        end
        port = Socket.unpack_sockaddr_in(EM.get_sockname(signature)).first
        Thread.new do
          first = RawClient.open(port)
          first.text("change")
          said = [first.read_text]
          [first, RawClient.open(port)].each { |client| client.text("x") && said << client.read_text }
          puts said.join(" ")
          EM.stop
        end
      end
    RUBY
  end

  loud = 'define_method(:trigger_on_message) { |text| send(text.upcase + "!") }'
  {
    "a class that is reopened" => "class_of_all.class_eval { #{loud} }",
    "a module that is prepended" => "class_of_all.prepend(Module.new { #{loud} })",
    "a module that gets it after it was prepended" =>
      "own = Module.new; class_of_all.prepend(own); own.module_eval { #{loud} }"
  }.each do |what, change|
    it "calls trigger_on_message of #{what}, of connections that are open, too" do
      expect(told_after(change)).to eq("changed X! X!\n")
    end
  end

  { "extends" => "ws.extend(Module.new { define_method(:receive_data) { |_| } })",
    "defines" => "def ws.send_data(_) = nil" }.each do |how, change|
    it "says that it comes too late where the application #{how} what must read the bytes",
       :extension do
      said = told_after(change)

      expect(said).to include("is read in the background").and include("changed x x")
    end
  end

  describe "and what is no opening handshake" do
    requests = {
      send_healthcheck_response: "GET /healthcheck HTTP/1.1\r\nHost: x\r\n\r\n",
      send_flash_cross_domain_file: "<policy-file-request/>\0"
    }

    Transports::ALL.each do |transport, where|
      requests.each do |hook, request|
        metadata = hook == :send_healthcheck_response ? { upstream: "0.5.1 has none" } : {}

        it "is answered by the application's own #{hook} #{where}", **metadata do
          serve_by(transport) do |ws|
            ws.define_singleton_method(hook) do
              send_data("of my own")
              close_connection_after_writing
            end
          end
          client = dial
          client.write(request)

          expect(client.read_to_end).to eq("of my own")
        end

        it "is answered by a #{hook} that calls super #{where}", **metadata do
          called = Mailbox.new
          serve_by(transport) { |ws| ws.define_singleton_method(hook) { called << super() } }
          client = dial
          client.write(request)

          expect(client.read_to_end).to include("200 OK").or include("cross-domain-policy")
          called.pop
        end

        it "is told to onerror where #{hook} raises #{where}", **metadata do
          serve_by(transport) do |ws|
            record(ws)
            ws.define_singleton_method(hook) { raise "not today" }
          end
          client = dial
          client.write(request)

          expect(client.read_to_end).to be_empty
          expect(next_event(:error).value.message).to eq("not today")
        end
      end

      it "has the time that a handshake has where #{where} nobody ends it", :extension do
        serve_by(transport, { handshake_timeout: 0.1 }) do |ws|
          record(ws)
          ws.define_singleton_method(:send_healthcheck_response) { nil }
        end
        client = dial
        client.write("GET /healthcheck HTTP/1.1\r\nHost: x\r\n\r\nand more, of no use")

        expect(client.read_to_end).to be_empty
        expect(next_event(:error).value.message).to eq("Opening handshake timed out")
      end
    end
  end
end
