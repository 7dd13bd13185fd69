# frozen_string_literal: true

require "socket"
require_relative "backpressure"
require_relative "debugger"
require_relative "handler"
require_relative "handshake"
require_relative "limits"
require_relative "options"
require_relative "overrides"
require_relative "subscriptions"
require_relative "transport"
require_relative "transport/attached_connection"
require_relative "transport/background_connection"
require_relative "transport/socket_methods"

module EventMachine
  module WebSocket
    # Connection of one client. It is what the block of {WebSocket.run} is given, and an
    # EventMachine::Connection: `EM.start_server(host, port, EM::WebSocket::Connection, options)`
    # works, too.
    #
    # Callbacks run on the reactor's thread. {#send}, {#send_binary}, {#ping}, {#pong} and {#close}
    # may be called from any thread; what one thread sends arrives in its order.
    class Connection < EventMachine::Connection
      include Debugger
      include Backpressure
      include Subscriptions
      include Transport::SocketMethods

      # @param options [Hash] those of {WebSocket.run}; all of them are kept in `@options`
      # @raise [ArgumentError] if one of them cannot be what it is
      def initialize(options = {})
        super
        @options = options
        transport = @em_websocket || Transport.of(self)
        checked = transport.configure(options)
        options = checked.values
        @debug = options[:debug] || false
        @secure = options[:secure] || false
        @secure_proxy = options[:secure_proxy] || false
        @tls_options = checked.tls_options
        @close_timeout = options[:close_timeout] if options[:close_timeout]
        @outbound_limit = options[:outbound_limit] || 0
        @handler = nil
        transport.begin_opening(self)
        Debugger.tell(self, [:initialize]) if @debug || Native.override?(self)
      end

      # @!group Callbacks

      # Called when the opening handshake is done.
      #
      # @yieldparam handshake [Handshake]
      # @return [Proc] the block
      def onopen(&block)
        @onopen = block
      end

      # Called with each text message.
      #
      # @yieldparam message [String] UTF-8
      # @return [Proc] the block
      def onmessage(&block)
        @onmessage = block
      end

      # Called with each binary message.
      #
      # @yieldparam message [String] ASCII-8BIT
      # @return [Proc] the block
      def onbinary(&block)
        @onbinary = block
      end

      # Called once, when the connection is gone.
      #
      # @yieldparam event [Hash] `:code` (Integer), `:reason` (String; absent without a closing
      #   handshake), `:was_clean` (Boolean)
      # @return [Proc] the block
      def onclose(&block)
        @onclose = block
      end

      # Called with what a client has done wrong ({WebSocketError}), and with what the
      # application's own callbacks have raised (any other StandardError).
      #
      # @example
      #   ws.onerror do |error|
      #     warn(error.full_message) unless error.is_a?(EM::WebSocket::WebSocketError)
      #   end
      # @yieldparam error [StandardError]
      # @return [Proc] the block
      def onerror(&block)
        @onerror = block
      end

      # Called with the body of each ping; it has been answered already.
      #
      # @yieldparam body [String] ASCII-8BIT
      # @return [Proc] the block
      def onping(&block)
        @onping = block
      end

      # Called with the body of each pong.
      #
      # @yieldparam body [String] ASCII-8BIT
      # @return [Proc] the block
      def onpong(&block)
        @onpong = block
      end

      # Called with an opening handshake that is about to be accepted. Set it in the block of
      # {WebSocket.run}, on the reactor's thread. Where it comes so late that the client has its
      # answer, `onopen` waits for the block all the same, which can then only accept or, by
      # {Response#refuse}, end the connection.
      #
      # @example Nobody without a token
      #   ws.onrequest do |handshake, response|
      #     response.refuse(401) unless handshake.query["token"] == ENV["TOKEN"]
      #   end
      # @yieldparam handshake [Handshake] {Handshake#protocol} is what would be selected
      # @yieldparam response [Response] refuses, selects the subprotocol, adds headers; or nothing
      # @return [Proc] the block
      # @raise [WebSocketError] if `onopen` has been called, and nobody was asked: the connection is
      #   ended
      def onrequest(&block)
        HandshakePolicy.ask_by(self, block)
      end

      # Called with a plain HTTP request, one that asks for no WebSocket, whose path is none of the
      # option `:http`. Set it in the block of {WebSocket.run}; without it, and the options `:http`
      # and `:rack`, such requests are refused. Of connections of EM.start_server they always are.
      #
      # @example
      #   ws.onhttp do |request, response|
      #     response.status = 404 unless request.path == "/hello"
      #     response.body = "hello" if response.status == 200
      #   end
      # @yieldparam request [HttpRequest] with its body, of up to `:http_body` bytes
      # @yieldparam response [HttpResponse] sent when the block returns, unless it is deferred
      # @return [Proc] the block
      # @raise [WebSocketError] if the connection is being read already
      def onhttp(&block)
        transport = Transport.of(self)
        if transport.native.nil? || transport.native.started?
          raise WebSocketError, "onhttp: set it in the block of EM::WebSocket.run"
        end

        transport.cold_state!.onhttp = block
      end

      # @!endgroup
      # @!group What calls them

      # @param handshake [Handshake]
      # @param response [Response]
      def trigger_on_request(handshake, response)
        @em_websocket&.cold_state&.onrequest&.call(handshake, response)
      end

      # @param message [String]
      def trigger_on_message(message)
        @onmessage&.call(message)
      end

      # @param message [String]
      def trigger_on_binary(message)
        @onbinary&.call(message)
      end

      # @param handshake [Handshake]
      def trigger_on_open(handshake)
        @onopen&.call(handshake)
      end

      # @param event [Hash]
      def trigger_on_close(event = {})
        @onclose&.call(event)
      end

      # @param body [String]
      def trigger_on_ping(body)
        @onping&.call(body)
      end

      # @param body [String]
      def trigger_on_pong(body)
        @onpong&.call(body)
      end

      # @param error [StandardError]
      # @return [Boolean] whether there is an `onerror`
      def trigger_on_error(error)
        return false unless @onerror

        @onerror.call(error)
        true
      end

      # @!endgroup

      # Sends a text message.
      #
      # @param data [String] valid UTF-8, or ASCII in any encoding; it is neither changed nor kept
      # @return [nil] also where the connection is gone, or is being closed and it is not you who
      #   has closed it
      # @raise [WebSocketError] before `onopen`, once you have closed, or if it is not UTF-8
      # @raise [NoMethodError] if it is no String
      def send_text(data)
        (@em_websocket || Transport.of(self)).send_text(data, @handler)
      end
      alias send send_text

      # Sends a binary message.
      #
      # @param data [String] of any encoding
      # @return [Integer] the bytes queued, header included; -1 where the connection is gone, or is
      #   being closed and it is not you who has closed it
      # @raise [WebSocketError] before `onopen`, once you have closed, or in a draft that has no
      #   binary messages (75, 76)
      def send_binary(data)
        (@em_websocket || Transport.of(self)).send_binary(data, @handler)
      end

      # Sends a ping.
      #
      # @param body [String] up to 125 bytes
      # @return [Boolean] false in a draft (75, 76) that has no pings
      # @raise [WebSocketError] before `onopen`, or if the body is too long
      def ping(body = "")
        raise WebSocketError, "Cannot ping before onopen callback" unless @handler

        @handler.ping(body)
      end

      # Sends a pong that nobody asked for.
      #
      # @param (see #ping)
      # @return (see #ping)
      # @raise (see #ping)
      def pong(body = "")
        raise WebSocketError, "Cannot ping before onopen callback" unless @handler

        @handler.pong(body)
      end

      # @return [Boolean] whether the client's version has pings
      # @raise [WebSocketError] before `onopen`
      def pingable?
        raise WebSocketError, "Cannot test whether pingable before onopen callback" unless @handler

        @handler.pingable?
      end

      # @return [Boolean] whether the client's version has close codes
      # @raise [WebSocketError] before `onopen`
      def supports_close_codes?
        raise WebSocketError, "Cannot test before onopen callback" unless @handler

        @handler.supports_close_codes?
      end

      # Begins the closing handshake (RFC 6455 section 7.1.2); before the opening one is done, ends
      # the TCP connection. On a closed connection, nothing.
      #
      # @example
      #   ws.close(4001, "logged out")
      # @param code [Integer, nil] 1000, 1001, 1003, 1008, 1011 to 1013 or 3000 to 4999
      # @param body [String, nil] the reason, up to 123 bytes of UTF-8; the rest is cut off, and
      #   what is not UTF-8 is replaced (U+FFFD)
      # @raise [RuntimeError] if applications may not use that code
      def close(code = nil, body = nil)
        unless !code || Native.close_code?(code)
          raise "Application code may only use codes from 1000, 3000-4999"
        end

        close_websocket_private(code ? code.to_i : nil, body || nil)
      end
      alias close_websocket close

      # @return [Symbol] `:handshake`, `:connected`, `:closing` or `:closed`
      def state
        @handler ? @handler.state : :handshake
      end

      # @return [Integer] a number that no other connection of this process has, before, during and
      #   after its life; what the lines of {WebSocket.logger} have as `id`
      def id
        @signature
      end

      # @return [String, nil] the client's IP address, in `onclose` and later, too; behind one of
      #   the `:trusted_proxies`, once its request has come, as that says, whereas `get_peername` is
      #   the proxy's; nil where it has none, on a Unix-domain socket
      def remote_ip
        said = @em_websocket&.client_ip
        return said if said

        peername = get_peername
        native = @em_websocket&.native
        return Array(native.peer).first if peername.nil? && native

        peername ||= @handler&.peername
        peername && Socket.unpack_sockaddr_in(peername).last
      rescue ArgumentError
        nil # It is an address of another kind.
      end

      # @return [Numeric] the longest frame that is accepted, in bytes; {WebSocket.max_frame_size}
      #   unless set
      def max_frame_size
        @max_frame_size || WebSocket.max_frame_size
      end

      # Set in the block of {WebSocket.run} or in `onopen`, it holds for every frame.
      #
      # @example
      #   ws.onopen { |handshake| ws.max_frame_size = 1024 if handshake.path == "/chat" }
      # @param size [Numeric, nil] bytes; Float::INFINITY: no limit; nil: the module's
      # @raise [ArgumentError] if it is no number
      def max_frame_size=(size)
        @max_frame_size = Checks.limit(:max_frame_size, size)
        @em_websocket&.native&.limit(max_frame_size, max_message_size)
      end

      # @return [Numeric] the longest message that is accepted, its fragments together, in bytes;
      #   {WebSocket.max_message_size}, or {#max_frame_size} if that is larger, unless set or given
      #   as an option
      def max_message_size
        Transport.of(self).longest_message(self, max_frame_size)
      end

      # Set in the block of {WebSocket.run} or in `onopen`, it holds for every message.
      #
      # @param size [Numeric, nil] bytes; Float::INFINITY: no limit; nil: the module's
      # @raise [ArgumentError] if it is no number
      def max_message_size=(size)
        Transport.of(self).cold_state!.max_message_size = Checks.limit(:max_message_size, size)
        @em_websocket.native&.limit(max_frame_size, max_message_size)
      end

      # @return [Boolean] whether frames must be masked and plain HTTP is answered: `:strict`
      def strict?
        Transport.of(self).strict?(self)
      end

      # @return [Numeric] how long our close may stay without answer, in seconds;
      #   {WebSocket.close_timeout} unless the option says otherwise
      def close_timeout
        @close_timeout || WebSocket.close_timeout
      end

      # @!group Hooks

      # Called by EventMachine when there is a connection.
      def post_init
        start_tls(@tls_options) if @secure
      end

      # Called with the bytes of the client, where they pass through Ruby.
      #
      # @param data [String]
      def receive_data(data)
        Debugger.tell(self, [:receive_data, data]) if @debug
        if @handler
          @handler.receive_data(data)
        else
          dispatch(data)
        end
      rescue StandardError => e
        Transport.application_error(self, e)
      end

      # Called with the bytes of the opening handshake, where they pass through Ruby.
      #
      # @param data [String]
      def dispatch(data)
        @handshake ||= Transport.of(self).opening_handshake(self)
        case @handshake.receive_data(data)
        when :healthcheck then send_healthcheck_response
        when :flash_policy then send_flash_cross_domain_file
        end
      end

      # Sends bytes as they are, beside the protocol. Past the `:outbound_limit`, the connection is
      # aborted.
      #
      # @param data [String, #to_s]
      # @return [Integer] how many
      def send_data(data)
        data = data.to_s
        transport = @em_websocket || Transport.of(self)
        native = transport.native
        return native.send_data(data) if native

        transport.flush_batch
        if @outbound_limit&.positive? &&
           get_outbound_data_size + data.bytesize > @outbound_limit
          abort(:outbound_limit_reached)
          return 0
        end
        sent = super
        transport.poll_drain(self)
        sent
      end

      # Called when the connection is gone.
      def unbind
        Debugger.tell(self, %i[unbind connection]) if @debug || Native.override?(self)
        @handler&.unbind
      rescue StandardError => e
        Debugger.tell(self, [:error, e])
        Log.error(self, e)
        trigger_on_error(e) || raise
      end

      # @!endgroup

      # Answers `GET /healthcheck`, and ends the connection.
      def send_healthcheck_response
        Debugger.tell(self, [:healthcheck_response])
        send_data(Native::HEALTHCHECK_RESPONSE)
        close_connection_after_writing
      end

      # Answers a Flash player's `<policy-file-request/>`, and ends the connection.
      def send_flash_cross_domain_file
        Debugger.tell(self, [:cross_domain])
        send_data(Native::FLASH_POLICY)
        close_connection_after_writing
      end

      private

      def close_websocket_private(code, body)
        if @handler
          Debugger.tell(self, [:closing, code]) if @debug || Native.override?(self)
          @handler.close_websocket(code, body)
        else
          abort(:handshake_incomplete)
        end
        nil
      end

      def abort(reason = nil)
        Debugger.tell(self, [:aborting, reason])
        close_connection
      end
    end

    Overrides.seal(Connection)
  end
end
