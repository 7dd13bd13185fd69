# frozen_string_literal: true

module EventMachine
  module WebSocket
    module Transport
      # State that few connections have, made when it is first set.
      class ColdState
        # @return [Proc, nil] the block of {Connection#onrequest}
        attr_accessor :onrequest

        # @return [Proc, nil] the block of {Connection#onhttp}
        attr_accessor :onhttp

        # @return [HttpExchange, nil] the plain HTTP request that is being answered
        attr_accessor :http

        # @return [ResponseStream, nil] what its response's body is written to
        attr_accessor :http_stream

        # @return [HandshakePolicy, nil] the decision that is being made
        attr_accessor :handshake_policy

        # @return [Proc, nil] the block of {Connection#ondrain}
        attr_accessor :ondrain

        # @return [Proc, nil] the block of {Subscriptions#ongap}
        attr_accessor :ongap

        # @return [Hash{String => Object}, nil] subscriptions that wait for their channels' history
        attr_accessor :awaited

        # @return [Integer, nil] see {Connection#outbound_high_water}
        attr_accessor :high_water

        # @return [Integer, nil] see {Connection#max_message_size=}
        attr_accessor :max_message_size

        # @return [Hash, nil] see {Presence}: what it has joined, by the channels' names
        attr_accessor :joins

        # @return [Options, nil] where they are not the server's
        attr_accessor :options

        # @return [String, nil] the client's address, as trusted proxies say it is
        attr_accessor :client_ip

        # @return [Log::Entry, nil] what is kept for the log
        attr_accessor :log

        # @return [Float, nil] see {SocketMethods#pending_connect_timeout=}
        attr_accessor :pending_connect_timeout
      end

      # The methods that both transports have.
      module Base
        # @return [ColdState, nil] nil where nothing has been set of it
        attr_reader :cold_state

        # @return [ColdState] made when it is first asked for
        def cold_state!
          @cold_state ||= ColdState.new
        end

        # @param frame [Integer] the longest frame
        # @return [Numeric] the longest message, as {Connection#max_message_size}
        def longest_message(connection, frame)
          @cold_state&.max_message_size || configured_message(connection) ||
            [WebSocket.max_message_size, frame].max
        end

        # The application does not decide any more: the client is gone, or its time is up.
        def cancel_decision
          @cold_state&.handshake_policy&.cancel
        end
      end
    end
  end
end
