# frozen_string_literal: true

require_relative "native"
require_relative "reactor"

module EventMachine
  module WebSocket
    # Brings what is published to those who are no connections of the native core's: connections
    # whose bytes pass through Ruby, and blocks. Their messages wait in mailboxes, which are emptied
    # here, on the reactor's thread.
    #
    # @api private
    module Mail
      @receivers = {}
      @opening = Mutex.new

      class << self
        # From now on a mailbox is emptied by a receiver's `deliver`.
        #
        # @param mailbox [Native::Mailbox]
        # @param receiver [#deliver]
        def add(mailbox, receiver)
          @receivers[mailbox.number] = receiver
        end

        # Nothing more is brought to it.
        #
        # @param mailbox [Native::Mailbox]
        def remove(mailbox)
          mailbox.close
          @receivers.delete(mailbox.number)
        end

        # @return [#deliver, nil] whom a mailbox of this number is emptied by
        def receiver(number)
          @receivers[number]
        end

        # One thread at a time makes something that there is to be one of.
        def once(&block)
          @opening.synchronize(&block)
        end

        # Sees to it that what waits is brought: at once on the reactor's thread, otherwise in its
        # next round, or once there is one. May be called from any thread.
        def deliver
          return unless Native.mail?
          return Reactor.schedule { run } if EventMachine.reactor_running?

          EventMachine.next_tick { run }
        end

        # In a forked child: mailboxes and channels are the parent's.
        def forked
          @receivers = {}
          @opening = Mutex.new
        end

        private

        # A receiver may publish, which brings what waits meanwhile, as EM::Channel does.
        def run
          while (number = Native.take_mailbox)
            @receivers[number]&.deliver
          end
        ensure
          # An exception of the application's leaves; the others' mail is not lost.
          EventMachine.next_tick { run } if Native.mail?
        end
      end
    end
  end
end
