# frozen_string_literal: true

require "monitor"
require_relative "../mail"
require_relative "../native"
require_relative "../transport"
require_relative "slow_subscribers"

module EventMachine
  module WebSocket
    module Transport
      # The channels of a connection whose bytes pass through Ruby: what is published waits in a
      # mailbox, and is sent by the connection's {Handler}.
      #
      # @api private
      class AttachedSubscriber
        # @return [Native::Mailbox, nil] nil where it has never been subscribed
        attr_reader :mailbox

        # @param connection [Connection]
        # @param transport [AttachedConnection]
        def initialize(connection, transport)
          @connection = connection
          @transport = transport
          @monitor = Monitor.new
        end

        # (see Native::Connection)
        def subscribe(name, since, limit)
          handler = Transport.get(@connection, :@handler)
          raise WebSocketError, "Cannot subscribe before onopen callback" unless handler
          return unless open?(handler)

          result = mailbox!(handler).subscribe(name, since, limit)
          Mail.deliver if since
          result
        end

        # (see Native::Connection)
        def unsubscribe(name)
          Native.subscribers(name)
          send_published
          @mailbox&.unsubscribe(name)
        end

        # (see Native::Connection)
        def unsubscribe_all
          send_published
          @mailbox&.unsubscribe_all
        end

        # (see Native::Connection)
        def subscriptions
          @mailbox&.subscriptions || []
        end

        # Sends what was published before something else is sent, by whatever thread.
        def send_published
          deliver if @mailbox
        end

        # Empties the mailbox: what one thread has taken, no other overtakes. What a rule has wait
        # for a client that does not read is held back.
        def deliver
          @monitor.synchronize do
            ruled = false
            until (message = @mailbox.take).nil?
              ruled ||= !message
              message ||= @mailbox.take_ruled(slow?)
              put(message) if message
            end
            SlowSubscribers.add(self) if ruled && @mailbox.behind?
          end
        end

        # Sends what was held back, as far as the client takes it.
        #
        # @return [Boolean] whether nothing is held back any more
        def catch_up
          @monitor.synchronize do
            until slow?
              message = @mailbox.take_held
              return true unless message

              put(message)
            end
            !@mailbox.behind?
          end
        end

        # The connection is gone.
        def close
          @monitor.synchronize do
            @closed = true
            Mail.remove(@mailbox) if @mailbox
          end
        end

        private

        # True if the client does not read: EventMachine writes at the end of its turn, so a little
        # waits for everybody.
        def slow?
          return false unless open?(Transport.get(@connection, :@handler))

          @connection.get_outbound_data_size > SlowSubscribers::WAITING
        end

        def open?(handler)
          !@closed && @transport.open?(handler)
        end

        def mailbox!(handler)
          @monitor.synchronize do
            @mailbox ||= Native::Mailbox.of_connection(!handler.pingable?).tap do |mailbox|
              @closed ? mailbox.close : Mail.add(mailbox, self)
            end
          end
        end

        def put(message)
          handler = Transport.get(@connection, :@handler)
          return unless open?(handler)

          if message.encoding == Encoding::BINARY
            handler.send_binary_frame(message)
          else
            handler.send_text_frame(message)
          end
        rescue StandardError => e
          Transport.application_error(@connection, e)
        end
      end
    end
  end
end
