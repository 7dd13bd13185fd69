# frozen_string_literal: true

module EventMachine
  module WebSocket
    # Error raised to the caller of a method that cannot do what it was asked to, and the parent
    # of what `onerror` is told of a client.
    class WebSocketError < RuntimeError; end

    # A connection would be subscribed to more channels than it may be.
    class SubscriptionLimitError < WebSocketError; end

    # A broker that channels are in common by is not reached, or refuses something. Told to
    # {WebSocket.on_pubsub}.
    class PubSubError < WebSocketError; end

    # The client's opening handshake was refused (RFC 6455 section 4.2). Told to `onerror`; the
    # client gets an HTTP status if it asked for a WebSocket, and the connection is closed.
    class HandshakeError < WebSocketError; end

    # The client broke a rule of its protocol. Told to `onerror`; the connection is failed with
    # {#code} (RFC 6455 section 7.1.7).
    class WSProtocolError < WebSocketError
      # @return [Integer] the close code that is sent to the client
      def code
        1002
      end
    end

    # The client sent text that is not UTF-8, or compressed data that is broken.
    class InvalidDataError < WSProtocolError
      # (see WSProtocolError#code)
      def code
        1007
      end
    end

    # The client sent more messages than `:messages_per_second` lets come.
    class WSMessageRateError < WSProtocolError
      # (see WSProtocolError#code)
      def code
        1008
      end
    end

    # The client sent a frame or a message over the limit.
    class WSMessageTooBigError < WSProtocolError
      # (see WSProtocolError#code)
      def code
        1009
      end
    end
  end
end
