# frozen_string_literal: true

require "http/parser"

# Things that applications make of Connection, in a subclass or for one connection.
module Connections
  # As the livereload servers do: a file by plain HTTP, and WebSocket on the same port.
  module Livereload
    attr_writer :script

    def dispatch(data)
      parser = Http::Parser.new
      parser << data
      return super if parser.http_method != "GET" || parser.upgrade?
      return serve_script if parser.request_url.start_with?("/livereload.js")

      send_data("HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\n")
      send_data("not there")
      close_connection_after_writing
    end

    private

    def serve_script
      send_data("HTTP/1.1 200 OK\r\nContent-Length: #{File.size(@script)}\r\n\r\n")
      stream_file_data(@script).callback { close_connection_after_writing }
    end
  end

  # As CompassApp does: the opening handshake by hand.
  module OwnHandshake
    def dispatch(data)
      (@handshake ||= opening_handshake_by_hand).receive_data(data)
    end

    private

    def opening_handshake_by_hand
      handshake = EM::WebSocket::Handshake.new(@secure || @secure_proxy)
      handshake.callback do |response, handler_class|
        debug [:accepting_ws_version, handshake.protocol_version]
        send_data(response)
        @handler = handler_class.new(self, @debug)
        @handshake = nil
        trigger_on_open(handshake)
      end
      handshake.errback do |error|
        debug [:error, error]
        trigger_on_error(error)
        abort(:handshake_error)
      end
      handshake
    end
  end

  # As netpump does: a client by EM.connect. It masks nothing, which the servers let pass.
  class Client < EM::WebSocket::Connection
    def initialize(options)
      @path = options[:path]
      super
    end

    def connection_completed
      send_data("GET #{@path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n" \
                "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" \
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
    end

    def receive_data(data)
      return super if @handler

      head, frames = (@answer = @answer.to_s.b << data).split("\r\n\r\n", 2)
      return unless frames

      @handler = EM::WebSocket::Handler.klass_factory(13).new(self, @debug)
      trigger_on_open(head)
      super(frames) unless frames.empty?
    end
  end

  # The whole conversation of a client with an echo server. Each answer is waited for, so that what
  # the server reads comes in the same pieces every time.
  def converse(client)
    client.text("text")
    expect(client.read_text).to eq("text")
    client.binary("bytes")
    expect(client.read(:binary)).to eq("bytes")
    client.ping("ping")
    expect(client.read(:pong)).to eq("ping")
    client.write(client.encode(:pong, "pong") + client.encode_close(1000))
    expect(client.read(:close)).to eq([1000].pack("n"))
    expect(client).to be_eof
  end

  def echo_only(ws)
    ws.onmessage { |text| ws.send(text) }
    ws.onbinary { |bytes| ws.send_binary(bytes) }
  end

  # All that a server answers to a plain HTTP request before it hangs up.
  def request(port, path)
    client = dial(port: port)
    client.write("GET #{path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
    client.read_to_end
  end

  # A file as long as livereload.js was in its longest days.
  def script
    @script ||= File.join(Dir.mktmpdir("livereload"), "livereload.js").tap do |path|
      File.binwrite(path, Random.new(1).bytes(80 * 1024))
    end
  end

  def remove_script = @script && FileUtils.remove_entry(File.dirname(@script))
end

RSpec.configure do |config|
  config.include(Connections, :connections)
  config.after(:each, :connections) { remove_script }
end
